tar --owner=3 --group=4 --mtime=@1600000000 -cf t.tar src sub
