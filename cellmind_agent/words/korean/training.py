"""Korean of configurations, trainers, checkpoints, and the projects that people train."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "the checkpoint does not fit the configuration ({name} is {shape} there)": (
        "체크포인트가 설정과 맞지 않습니다 (체크포인트의 {name}: {shape})"
    ),
    "use the configuration and tokenizer that it was trained with": "그 모델을 학습한 설정과 토크나이저를 쓰십시오",
    "{path} is no checkpoint state": "{path} 파일은 체크포인트의 상태가 아닙니다",
    "use an older checkpoint: cellmindctl models": "더 오래된 체크포인트를 쓰십시오: cellmindctl models",
    "{path} does not fit the optimiser or the model ({error})": "{path} 파일이 옵티마이저나 모델과 맞지 않습니다 ({error})",
    "start a new run from its weights": "그 가중치로 새 학습을 시작하십시오",
    "{path} is no safetensors file: {error}": "{path} 파일은 safetensors가 아닙니다: {error}",
    "pickles are never loaded": "pickle은 읽지 않습니다",
    "one of: {known}": "다음 가운데 하나: {known}",
    "did you mean {close}?": "{close} 말입니까?",
    "model.d_model {d_model} is not divisible by model.nhead {nhead}": (
        "model.d_model {d_model}은(는) model.nhead {nhead}(으)로 나누어떨어지지 않습니다"
    ),
    "for example d_model {near}, or nhead {divisor}": "예: d_model {near}, 또는 nhead {divisor}",
    "model.d_model / model.nhead is {width}, an odd number": "model.d_model / model.nhead가 홀수({width})입니다",
    "rotary positions need pairs: choose an even d_model / nhead": "회전 위치에는 짝이 필요합니다. d_model / nhead가 짝수가 되게 하십시오",
    "model.dropout {dropout} is not in [0, 1)": "model.dropout {dropout}은(는) 0 이상 1 미만이 아닙니다",
    "write 0.1, or 0 for none": "0.1로, 쓰지 않으려면 0으로 적으십시오",
    "training.dataset.seq_len {seq_len} is too short": "training.dataset.seq_len {seq_len}은(는) 너무 짧습니다",
    "write 256": "256으로 적으십시오",
    "training.optimizer is {optimizer}": "training.optimizer가 {optimizer}입니다",
    "distributed.backend is {backend}": "distributed.backend가 {backend}입니다",
    "{section}.{name} is {value}, it must be more than 0": "{section}.{name} 값 {value}은(는) 0보다 커야 합니다",
    "leave it out for {default}": "적지 않으면 {default}입니다",
    "training.{name} is {value}, it cannot be negative": "training.{name} 값 {value}은(는) 음수일 수 없습니다",
    "leave it out": "적지 마십시오",
    "distributed.exchange is {exchange}": "distributed.exchange가 {exchange}입니다",
    "distributed.round_seconds is {seconds}": "distributed.round_seconds가 {seconds}입니다",
    "write a number from {least} to {most}, or leave it out for 10": (
        "{least}에서 {most} 사이의 수를 쓰십시오. 적지 않으면 10입니다"
    ),
    "a whole number": "정수",
    "a number": "수",
    "a string": "문자열",
    "true or false": "true 또는 false",
    "a list": "목록",
    "an object": "객체",
    "null": "null",
    "{name} is no JSON object": "{name}은(는) JSON 객체가 아닙니다",
    'begin with { "model": { ... } }': '{ "model": { ... } }로 시작하십시오',
    "{where} is {kind}, an object was expected": "{where} 자리에는 객체가 와야 하는데 {kind}이(가) 있습니다",
    "{place} is {kind}, {expected} was expected": "{place} 자리에는 {expected}이(가) 와야 하는데 {kind}이(가) 있습니다",
    "write {place} without quotes": "{place} 값을 따옴표 없이 적으십시오",
    "see: cellmindctl config show": "참고: cellmindctl config show",
    "name a configuration file, or leave it out for the defaults": "설정 파일을 지정하거나, 기본값을 쓰려면 적지 마십시오",
    "{path} cannot be read as text": "{path} 파일을 텍스트로 읽을 수 없습니다",
    "check the name": "이름을 확인하십시오",
    "{name} is not JSON: {error}": "{name}은(는) JSON이 아닙니다: {error}",
    "check the commas and quotes around that place": "그 자리 주위의 쉼표와 따옴표를 확인하십시오",
    "unknown key {name}": "알 수 없는 키 {name}",
    "remove it": "지우십시오",
    "unknown key {place}": "알 수 없는 키 {place}",
    "the shards do not belong to the manifest": "샤드가 목록과 맞지 않습니다",
    "training has taken {taken} MB, and may take {allowed} MB here": (
        "학습이 {taken} MB를 썼는데, 이 기기에서는 {allowed} MB까지 쓸 수 있습니다"
    ),
    "lower training.batch_size, or raise --train-memory of this device's agent": (
        "training.batch_size를 줄이거나 이 기기 에이전트의 --train-memory를 늘리십시오"
    ),
    "the loss became {loss} at step {step}": "{step}단계에서 손실이 {loss}이(가) 되었습니다",
    "this member does not hold the state after step {step}": "이 구성원에는 {step}단계를 마친 상태가 없습니다",
    "the gradient became infinite at step {step}": "{step}단계에서 기울기가 무한대가 되었습니다",
    "the weights became infinite": "가중치가 무한대가 되었습니다",
    "only rank {ranks} has weights that are not finite": "순위 {ranks}의 가중치만 유한하지 않습니다",
    "only rank {ranks} had a loss or gradient that is not finite at step {step}": (
        "{step}단계에서 순위 {ranks}의 손실이나 기울기만 유한하지 않았습니다"
    ),
    "the training state of rank {ranks} has other tensors, shapes or types than that of rank {holder}": (
        "순위 {ranks}의 학습 상태는 텐서의 구성이나 모양, 자료형이 순위 {holder}의 것과 다릅니다"
    ),
    "the training state of rank {ranks} has values that are not finite": (
        "순위 {ranks}의 학습 상태에 유한하지 않은 값이 있습니다"
    ),
    "rank {ranks} received another state than the one that was sent": (
        "순위 {ranks}이(가) 받은 학습 상태가 보낸 것과 다릅니다"
    ),
    "lower training.lr ({lr})": "training.lr({lr})를 낮추십시오",
    "the tokenizer is not the one of the shards": "이 샤드의 토크나이저가 아닙니다",
    "the tokenizer is not the one of this checkpoint": "이 체크포인트의 토크나이저가 아닙니다",
    "{precision}, {threads}, {rows} at a time{extras}: {gain} x plain fp32": (
        "{precision}, {threads}, 한 번에 {rows}{extras}: 보통 fp32의 {gain}배"
    ),
    ", compiled": ", 컴파일됨",
    ", {count} devices": ", 장치 {count}개",
    ", compiled, {count} devices": ", 컴파일됨, 장치 {count}개",
    "{count} threads": "스레드 {count}개",
    "1 thread": "스레드 1개",
    "{count} rows": "{count}행",
    "1 row": "1행",
    "note: ignored, because they are no longer needed: {keys}": "참고: 더 이상 필요 없어 무시한 설정: {keys}",
    "there is nothing to train on": "학습할 것이 없습니다",
    "the tokenizer does not match the checkpoint {weights}": "토크나이저가 체크포인트 {weights}과(와) 맞지 않습니다",
    "use the tokenizer that it was trained with (tokenizer.model_path), or another model.checkpoint": (
        "그 모델을 학습한 토크나이저(tokenizer.model_path)나 다른 model.checkpoint를 쓰십시오"
    ),
    "{old} is a pickle, and pickles can run any code: it is not loaded": (
        "{old} 파일은 pickle이고, pickle은 어떤 코드든 실행할 수 있으므로 읽지 않습니다"
    ),
    "convert it to {weights} where you trust it, or name another model.checkpoint": (
        "믿을 수 있는 곳에서 {weights}(으)로 바꾸거나 다른 model.checkpoint를 지정하십시오"
    ),
    "--only-new needs prepared text": "--only-new에는 준비된 텍스트가 필요합니다",
    "{prepared} is prepared text, and the rest is not": "{prepared}은(는) 준비된 텍스트이고 나머지는 아닙니다",
    "add the rest to it: cellmindctl data prepare FILE --append --out {prepared}": (
        "나머지를 거기에 더하십시오: cellmindctl data prepare FILE --append --out {prepared}"
    ),
    "{weights} has no readable state beside it ({state})": "{weights} 옆에 읽을 수 있는 상태 파일({state})이 없습니다",
    "name another model.checkpoint": "다른 model.checkpoint를 지정하십시오",
    "{run} is running": "{run} 학습이 진행 중입니다",
    "no device that is online has a checkpoint of {run}": "온라인인 기기 가운데 {run}의 체크포인트를 가진 것이 없습니다",
    "start a new run: cellmindctl train": "새 학습을 시작하십시오: cellmindctl train",
    "{run} from step {step} on {names}": "{run}: {step}단계부터, {names}에서",
    "default": "기본값",
}
