printf 'FROM @BASE@\r\nRUN echo a > /out && \\\r\n  echo b >> /out\r\n' > Dockerfile
