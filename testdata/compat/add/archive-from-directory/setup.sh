mkdir d; echo f > f; tar cf d/t.tar --mtime=@1600000000 f; rm f
