touch -d @1000000001 a
