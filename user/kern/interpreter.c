/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/interpreter.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define HEAD_MAX 16384 /* so much of a script is looked at */
#define BETWEEN  " \t\r\n;&|()<>{}'\"`$=!#"

static const char *const shells[] = {"sh", "bash", "dash", "zsh", "ksh", "ash", NULL};

static bool script_is_one_of(const char *name, size_t n, const char *const *names)
{
	for (; *names; names++)
		if (strlen(*names) == n && !strncmp(*names, name, n))
			return true;
	return false;
}

static bool script_is_named(const char *program, const char *const *names)
{
	const char *slash = strrchr(program, '/');

	program = slash ? slash + 1 : program;
	return script_is_one_of(program, strlen(program), names);
}

/* A word of @text that is one of them, or a file of that name in some bin/: /srv/node is none. */
static bool script_has_word(const char *text, const char *const *names)
{
	while (*(text += strspn(text, BETWEEN))) {
		const size_t n = strcspn(text, BETWEEN);
		const char *slash = memrchr(text, '/', n);
		const char *name = slash ? slash + 1 : text;
		const bool in_bin = slash && slash - text >= 3 && !strncmp(slash - 3, "bin", 3);

		if ((!slash || in_bin) && script_is_one_of(name, (size_t)(text + n - name), names))
			return true;
		text += n;
	}
	return false;
}

/* The beginning of @name below @folder; "" if it is no file that can be read. */
static bool script_read_head(int folder, const char *name, char head[HEAD_MAX])
{
	_cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	head[0] = '\0';
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	n = read(fd, head, HEAD_MAX - 1);
	head[n > 0 ? n : 0] = '\0';
	return true;
}

/* The same of a program, which is looked for. */
static void script_read_program(int folder, const char *name, const char *path, char head[HEAD_MAX])
{
	char file[PATH_MAX];

	if (strchr(name, '/') || !path) {
		script_read_head(folder, name, head);
		return;
	}
	for (;; path++) {
		const int n = (int)strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s%s%s", n, path, n ? "/" : "", name);
		if (script_read_head(folder, file, head) || !path[n])
			return;
		path += n;
	}
}

/* A shell's text after -c, or else its script. */
static bool script_shell_runs(int folder, char *const *argv, const char *const *programs)
{
	char head[HEAD_MAX];

	while (*++argv && **argv == '-')
		if ((*argv)[1] != '-' && strchr(*argv, 'c'))
			return argv[1] && script_has_word(argv[1], programs);
	return *argv && script_read_head(folder, *argv, head) && script_has_word(head, programs);
}

bool interpreter_is_among(char *const *argv, const char *path, const char *cwd,
                          const char *const *programs)
{
	_cleanup_close_ int folder = -1;
	char head[HEAD_MAX], *end;
	bool by_shell;

	if (script_is_named(argv[0], programs))
		return true;
	folder = open(cwd ? cwd : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (script_is_named(argv[0], shells))
		return script_shell_runs(folder, argv, programs);
	script_read_program(folder, argv[0], path, head);
	if (strncmp(head, "#!", 2) != 0)
		return false;
	end = head + strcspn(head, "\n");
	by_shell = *end;
	*end = '\0';
	if (script_has_word(head, programs))
		return true;
	return by_shell && script_has_word(head, shells) && script_has_word(end + 1, programs);
}
