mkdir www; tar --owner=3 --group=4 --mtime=@1600000000 -czf www/t.tar.gz src
