"""The cleaning loop that the project's guide describes, with pandas, to compare `data prepare` with."""

import re
import sys

import pandas

URL = re.compile(r"https?://\S+|www\.\S+")
EMOJI = re.compile("[\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff\u2600-\u27bf\ufe0f\u200d]+")
RUN = re.compile(r"(\S)\1{4,}")
PHOTO = re.compile(r"사진(?: \d+장)?")
EMPTY = re.compile(r"\(\s*\)|\[\s*\]|\{\s*\}")


def clean(text: str, names: list[str]) -> str:
    text = str(text).lower().replace("\u200b", "")
    text = re.sub(r"\n+", "\n", text).strip()
    if PHOTO.fullmatch(text):
        return "<PHOTO>"
    if text == "동영상":
        return "<MOVIE>"
    if text == "이모티콘":
        return "<EMOJI>"
    text = URL.sub("<URL>", text)
    text = EMOJI.sub("<EMOJI>", text)
    text = RUN.sub(lambda run: run[1] * 5, text)
    text = EMPTY.sub("", text)
    for name in names:
        text = re.sub(f"{re.escape(name)}(?=님|씨|아|야|이|은|는|가|을|를|의|에게|한테|$|\\W)", "<NAME>", text)
    return text


def main(path: str) -> int:
    frame = pandas.read_csv(path)
    frame["Date"] = pandas.to_datetime(frame["Date"]).map(lambda time: time.isoformat())
    users = {user.replace(" ", "") for user in frame["User"].unique()}
    names = sorted(users | {user[1:] for user in users if len(user) == 3}, key=len, reverse=True)
    frame["Message"] = frame["Message"].apply(lambda text: clean(text, names))
    frame = frame[frame["Message"] != ""]
    frame.to_csv(f"{path}.clean.csv", index=False)
    print(len(frame))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
