touch -d @1100000000 d/f d/s/g; touch -d @1100000001 d d/s; chmod 700 d/s; ln -s f d/l; ln d/f d/h
tar cf plain.tar --owner=5:5 --group=6:6 d; tar czf gz.tar.gz d; tar cjf bz.tar.bz2 d; tar cJf xz.txz d; tar c d | zstd -q > zst.tar.zst; cp gz.tar.gz noext
