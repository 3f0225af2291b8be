"""A folder of prepared text: what it holds, how a batch is added, which documents are held out, how it is read."""
