"""What messengers export: one small file each, a table of patterns rather than code."""
