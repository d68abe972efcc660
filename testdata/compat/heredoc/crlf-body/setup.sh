printf 'FROM scratch\r\nCOPY <<EOF /out\r\none\r\ntwo\r\nEOF\r\n' > Dockerfile
