echo f > f; tar cf t.tar --mtime=@1600000000 f; rm f
