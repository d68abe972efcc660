ln -s real link
