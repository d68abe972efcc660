tar --mtime=@1600000000 -cf t.tar src sub
