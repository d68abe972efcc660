python3 -c "
import tarfile
with tarfile.open('t.tar', 'w') as t:
    m = tarfile.TarInfo('z'); m.type = tarfile.CHRTYPE; m.devmajor, m.devminor = 1, 5; t.addfile(m)
    m = tarfile.TarInfo('zz'); m.type = tarfile.BLKTYPE; m.devmajor, m.devminor, m.mode = 7, 0, 0o600; t.addfile(m)
"
