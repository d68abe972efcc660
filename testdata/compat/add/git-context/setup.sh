export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b main www/repo.git; cd www/repo.git; mkdir sub; printf 'FROM scratch\nCOPY . /all/\nCOPY .docker* /x/\n' > sub/Dockerfile; echo skip > sub/.dockerignore; echo 1 > sub/skip; echo 2 > sub/keep; git add .; git commit -q -m one
