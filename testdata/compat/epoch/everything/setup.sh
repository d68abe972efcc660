tar --mtime=@1700000000 -cf t.tar src; touch -d @1800000000 a.txt
