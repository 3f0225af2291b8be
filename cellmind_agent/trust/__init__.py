"""Who is who: this device's keys, the cell's keyring, how one joins, and who may ask what."""
