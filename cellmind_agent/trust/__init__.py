"""Who is who: the keys of this device, the keyring of the cell, joining, and who may ask what. No sockets."""
