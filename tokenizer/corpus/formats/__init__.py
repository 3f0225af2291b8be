"""The formats that messengers export, one small file each: how to detect a format and how to parse its messages."""
