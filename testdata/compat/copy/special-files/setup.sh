mkfifo s/pipe; python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("s/sock")'; mknod s/null c 1 3
