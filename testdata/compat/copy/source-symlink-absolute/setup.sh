ln -s /inside/f link
