touch -d @1000000001 a; chmod 644 a
