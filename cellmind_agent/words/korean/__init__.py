"""The Korean catalogue: one file for each part of the product, English sentence to Korean sentence.

Statements and requests are in 하십시오체 (-습니다, -십시오); tables hold noun phrases.
Glossary, one word for one thing:

agent 에이전트, answer 답변, batch 배치, blob 블롭, cell 셀, checkpoint 체크포인트, clear text 평문,
code (of a join) 참가 코드, courier 전달 전용 기기, device 기기, epoch 에포크, held-out loss 검증 손실, hint 도움말,
home 홈 폴더, invite 초대, join 참가, keyring 키링, leader 리더, link 연결, member 구성원, model 모델, owner 소유자,
pair 페어링, peer 상대 기기, plan 계획, process group 프로세스 그룹, prompt 프롬프트, round 라운드, run 학습,
share 몫, shard 샤드, step 단계, text 텍스트, token 토큰, tokenizer 토크나이저, trainer 학습 프로세스, tunnel 터널,
vocabulary 어휘
"""

from __future__ import annotations

from collections.abc import Mapping

from cellmind_agent.words.korean import (
    agent,
    click_words,
    command_line,
    commands,
    doctor,
    help,
    planning,
    refusals,
    runs,
    text,
    training,
    updating,
    views,
    vocabulary,
)

KOREAN: Mapping[str, str] = {
    **agent.SENTENCES,
    **click_words.SENTENCES,
    **command_line.SENTENCES,
    **commands.SENTENCES,
    **doctor.SENTENCES,
    **help.SENTENCES,
    **planning.SENTENCES,
    **refusals.SENTENCES,
    **runs.SENTENCES,
    **text.SENTENCES,
    **training.SENTENCES,
    **updating.SENTENCES,
    **views.SENTENCES,
    **vocabulary.SENTENCES,
}

# What is kept in files as English text, such as the reasons in stats.json.
STORED: Mapping[str, str] = text.SENTENCES
