"""Korean of what reads and cleans text."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "{path} cannot be read: {strerror}": "{path} 파일을 읽을 수 없습니다: {strerror}",
    "{path} cannot be read: permission denied": "{path} 파일을 읽을 권한이 없습니다",
    "{path} does not exist": "{path} 파일이 없습니다",
    "{path} is not a file": "{path} 경로는 파일이 아닙니다",
    "{path} is empty": "{path} 파일이 비어 있습니다",
    "{path} is no readable zip: {error}": "{path} 파일은 읽을 수 있는 zip이 아닙니다: {error}",
    "{source} cannot be read: {error}": "{source} 파일을 읽을 수 없습니다: {error}",
    "{source} is empty": "{source} 파일이 비어 있습니다",
    "{source} is in no encoding known here (UTF-8, UTF-16, CP949)": (
        "{source} 파일의 인코딩을 알 수 없습니다 (UTF-8, UTF-16, CP949만 읽습니다)"
    ),
    "{source} is not text but binary": "{source} 파일은 텍스트가 아니라 이진 파일입니다",
    "{file_name} has no column date, user, message: its columns are {existing}": (
        "{file_name} 파일에 date, user, message 열이 없습니다. 있는 열: {existing}"
    ),
    "{file_name} has no such columns ({wrong})": "{file_name} 파일에 그런 열이 없습니다 ({wrong})",
    "{file_name} is JSON of no kind that is known here": "{file_name} 파일은 알려진 종류의 JSON이 아닙니다",
    'exports of Telegram and Discord are known, and lines such as {"text": "안녕"}': (
        'Telegram과 Discord에서 내보낸 파일, 그리고 {"text": "안녕"} 같은 줄로 된 파일을 읽습니다'
    ),
    "name them: --columns text=...,user=...,time=... (there are: {existing})": (
        "열 이름을 지정하십시오: --columns text=...,user=...,time=... (있는 열: {existing})"
    ),
    "check the name; the example is data/raw/chat.csv": "이름을 확인하십시오. 예: data/raw/chat.csv",
    "check its permissions": "파일의 권한을 확인하십시오",
    "give a file, a folder or a zip": "파일, 폴더 또는 zip을 지정하십시오",
    "give a chat export, CSV, JSONL or text file": "대화 내보내기 파일이나 CSV, JSONL, 텍스트 파일을 지정하십시오",
    "export it again": "다시 내보내십시오",
    "export the chat again": "대화를 다시 내보내십시오",
    "export it again, or unpack it yourself": "다시 내보내거나 직접 압축을 푸십시오",
    "export it again, or name its columns: --columns": "다시 내보내거나 열 이름을 지정하십시오: --columns",
    'each line is an object such as {"text": "안녕"}': '줄마다 {"text": "안녕"} 같은 객체가 있어야 합니다',
    "it holds text that was prepared already": "이미 준비된 텍스트가 들어 있음",
    "it has a password: unpack it yourself": "암호가 걸려 있음: 직접 압축을 푸십시오",
    "a zip in a zip: unpack it yourself": "zip 안의 zip: 직접 압축을 푸십시오",
    "a link, or no file": "링크이거나 파일이 아님",
    "no text by its name ({suffix})": "이름으로 보아 텍스트가 아님 ({suffix})",
    "{packed} bytes that unpack to {unpacked}: no chat does": "{packed}바이트가 {unpacked}바이트로 풀림: 대화는 그렇게 줄지 않습니다",
    'lines without {"{column}": ...}': '{"{column}": ...}가 없는 줄',
    "lines whose {column} is no string": "{column} 값이 문자열이 아닌 줄",
    "rows of {columns} columns instead of {expected}": "열이 {expected}개가 아니라 {columns}개인 행",
    "rows that are no CSV": "CSV가 아닌 행",
    "files that break off": "중간에 끊긴 파일",
    "files that break off, or go on as no JSON": "중간에 끊기거나 JSON이 아니게 되는 파일",
    "system lines": "시스템 줄",
    "deleted messages": "삭제된 메시지",
    "attachments": "첨부 파일",
    "damaged characters": "깨진 글자",
    "messages without text": "글이 없는 메시지",
    "exact": "똑같음",
    "near": "거의 같음",
    "continued": "이어짐",
    "plain text": "일반 텍스트",
    "JSON lines": "JSON Lines",
    "nothing to prepare": "준비할 것이 없습니다",
    "there is no text in these inputs": "입력에 텍스트가 없습니다",
    "name its files": "파일 이름을 지정하십시오",
    "no text is left after cleaning": "정리하고 나니 남은 텍스트가 없습니다",
    "are these the right files?": "파일을 바르게 지정했는지 확인하십시오",
    "{name}: no message was found": "{name}: 메시지를 찾지 못했습니다",
    "{name}: {why}, and nothing else": "{name}: {why}뿐이고, 다른 것이 없습니다",
    "everything in these files is there already": "이 파일들의 내용은 이미 모두 있습니다",
    "nothing was changed": "바뀐 것이 없습니다",
    "{folder} cannot be added to": "{folder} 폴더에 더할 수 없습니다",
    "prepare it again without --append": "--append 없이 다시 준비하십시오",
    "{path} is shorter than {stats} says": "{path} 파일이 {stats}의 기록보다 짧습니다",
    "{path}, line {line_number}: `text` is not a string": "{path} {line_number}번째 줄: `text`가 문자열이 아닙니다",
    '{path}, line {line_number}: no {"text": ...} there': '{path} {line_number}번째 줄: {"text": ...}가 없습니다',
    "{num_documents} document is not enough to train on": "문서 {num_documents}개로는 학습할 수 없습니다",
    "give more text": "텍스트를 더 주십시오",
    "{folder} was changed, so its new documents are unknown": "{folder} 폴더가 바뀌어서 새 문서를 알 수 없습니다",
    "train without --only-new": "--only-new 없이 학습하십시오",
    "{path} has no batches, so none is new": "{path} 파일은 묶음으로 나뉘어 있지 않아 새로운 것을 알 수 없습니다",
    "{folder} was prepared by another version": "{folder} 폴더는 다른 버전이 준비한 것입니다",
    "prepare it again with this one": "이 버전으로 다시 준비하십시오",
    "{folder} is not a folder of prepared text": "{folder} 폴더는 준비된 텍스트가 아닙니다",
    "{path} has the unknown format {format}": "{path} 파일의 형식 {format}을(를) 알 수 없습니다",
    "prepare the data again with this version": "이 버전으로 데이터를 다시 준비하십시오",
    "{path} is not a manifest of shards": "{path} 파일은 샤드 목록이 아닙니다",
    "prepare the data again": "데이터를 다시 준비하십시오",
    "{path} is cut short": "{path} 파일이 잘려 있습니다",
    "fetch the data again": "데이터를 다시 받으십시오",
    "the text is too short to train on and to hold some of it out": "텍스트가 너무 짧아 학습하고 일부를 평가용으로 남겨 둘 수 없습니다",
    (
        "{count} documents are held out: too few to see whether the model learns or only repeats. With "
        "more text the held-out loss becomes meaningful"
    ): (
        "평가용 문서가 {count}개뿐이라 모델이 배우는지 외우기만 하는지 알 수 없습니다. 텍스트가 더 많으면 검증 손실에 의미가 생깁니다"
    ),
    "{name}: {format} ({percent} % sure), {encoding}, {messages} messages": (
        "{name}: {format} ({percent} % 확실), {encoding}, 메시지 {messages}개"
    ),
    "{name} was left alone: {why}": "{name} 파일은 읽지 않았습니다: {why}",
    "left out: {count} {reason}": "제외: {reason} {count}개",
    "there already: {count} documents ({kind})": "이미 있음: 문서 {count}개 ({kind})",
    ("{documents} documents and {held_out} held out of {messages} messages, {characters} characters -> {out}"): (
        "메시지 {messages}개에서 문서 {documents}개와 평가용 {held_out}개, {characters}자 -> {out}"
    ),
    "{documents} documents and {held_out} held out in all {batches} batches": (
        "모든 묶음 {batches}개를 합쳐 문서 {documents}개와 평가용 {held_out}개"
    ),
    "{documents} documents, {held_out} held out, {characters} characters": (
        "문서 {documents}개, 평가용 {held_out}개, {characters}자"
    ),
    "{messages} messages, batches: {batches}, {first} to {last}": "메시지 {messages}개, 묶음 {batches}개, {first}부터 {last}까지",
    "suggested vocabulary: {count} pieces": "권하는 어휘: 조각 {count}개",
    "--columns names no text": "--columns에 text가 없습니다",
    "--columns {part} is not ROLE=NAME with a role of time, user or text": (
        "--columns {part}: 역할=이름 꼴이 아닙니다. 역할은 time, user, text입니다"
    ),
    (
        "{documents} documents to train on and {held_out} held out (the last in time), from {messages} "
        "messages of {users} people in {batches} batches: {characters} characters, {first} to {last}. A "
        "vocabulary of {vocabulary} pieces suits that."
    ): (
        "{users}명의 메시지 {messages}개(묶음 {batches}개)에서 학습용 문서 {documents}개와 평가용 문서 {held_out}개(시간 순서로 마지막)를 "
        "만들었습니다. {characters}자, {first}부터 {last}까지. 조각 {vocabulary}개의 어휘가 알맞습니다."
    ),
    "(A picture needs matplotlib: pip install matplotlib)": "(그림을 그리려면 matplotlib가 필요합니다: pip install matplotlib)",
    "format": "형식",
    "encoding": "인코딩",
    "messages": "메시지",
    "Batch {number}": "묶음 {number}",
    "{format} ({percent} % sure)": "{format} ({percent} % 확실)",
    "Replaced": "바꾼 것",
    "Left out": "제외한 것",
    "There already": "이미 있던 것",
    "Before and after": "정리 전과 후",
    "left alone": "읽지 않음",
    "why": "이유",
    "what": "무엇",
    "times": "횟수",
    "documents": "문서",
    "before": "전",
    "after": "후",
}
