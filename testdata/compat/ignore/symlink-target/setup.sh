ln -s secret link
sed -i 's/COPY link/COPY lin*/' Dockerfile
