python3 -c "
import tarfile
with tarfile.open('t.tar', 'w') as t:
    m = tarfile.TarInfo('z'); m.type = tarfile.CHRTYPE; m.devmajor, m.devminor = 1, 5; t.addfile(m)
    m = tarfile.TarInfo('global'); m.type = b'g'; m.size = 0
    m = tarfile.TarInfo('cont'); m.type = tarfile.CONTTYPE; t.addfile(m)
"
