touch -d @1200000000 www/f
