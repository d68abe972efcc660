for i in $(seq 150); do echo "LABEL l$i=$i"; done >> Dockerfile
