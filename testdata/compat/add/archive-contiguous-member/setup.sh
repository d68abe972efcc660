python3 -c "
import tarfile
with tarfile.open('t.tar', 'w') as t:
    m = tarfile.TarInfo('cont'); m.type = tarfile.CONTTYPE; t.addfile(m)
"
