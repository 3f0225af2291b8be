"""What agents say to each other and to their users, as values and as bytes. Pure: no sockets, no clocks."""
