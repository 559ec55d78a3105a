/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/interpreter.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path_search.h"
#include "kern/file_read.h"

#define BETWEEN " \t\r\n;&|()<>{}'\"`$=!#"

static const char *const shells[] = {"sh", "bash", "dash", "zsh", "ksh", "ash", NULL};

static bool interpreter_is_one_of(const char *name, size_t n, const char *const *names)
{
	for (; *names; names++)
		if (strlen(*names) == n && !strncmp(*names, name, n))
			return true;
	return false;
}

static bool interpreter_is_named(const char *program, const char *const *names)
{
	const char *slash = strrchr(program, '/');

	program = slash ? slash + 1 : program;
	return interpreter_is_one_of(program, strlen(program), names);
}

/* Whether @text has one of the names as a word, or as a file in a bin/ directory: /srv/node is
 * none. */
static bool interpreter_has_word(const char *text, const char *const *names)
{
	while (*(text += strspn(text, BETWEEN))) {
		const size_t n = strcspn(text, BETWEEN);
		const char *slash = memrchr(text, '/', n);
		const char *name = slash ? slash + 1 : text;
		const bool in_bin = slash && slash - text >= 3 && !strncmp(slash - 3, "bin", 3);

		if ((!slash || in_bin) &&
		    interpreter_is_one_of(name, (size_t)(text + n - name), names))
			return true;
		text += n;
	}
	return false;
}

/* Reads the beginning of program @name, searched along @path. */
static void interpreter_read_program(int folder, const char *name, const char *path,
                                     char head[FILE_READ_HEAD_MAX])
{
	_cleanup_free_ char **candidates = path_search_candidates(name, path);

	head[0] = '\0';
	for (char **file = candidates; file && *file; file++)
		if (file_read_head(folder, *file, head, FILE_READ_HEAD_MAX) >= 0)
			return;
}

/* Searches a shell's text after -c, or otherwise its script. */
static bool interpreter_shell_runs(int folder, char *const *argv, const char *const *programs)
{
	char head[FILE_READ_HEAD_MAX];

	while (*++argv && **argv == '-')
		if ((*argv)[1] != '-' && strchr(*argv, 'c'))
			return argv[1] && interpreter_has_word(argv[1], programs);
	return *argv && file_read_head(folder, *argv, head, sizeof(head)) >= 0 &&
	       interpreter_has_word(head, programs);
}

bool interpreter_is_among(char *const *argv, const char *path, const char *cwd,
                          const char *const *programs)
{
	_cleanup_close_ int folder = -1;
	char head[FILE_READ_HEAD_MAX], *end;
	bool by_shell;

	if (interpreter_is_named(argv[0], programs))
		return true;
	folder = open(cwd ? cwd : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (interpreter_is_named(argv[0], shells))
		return interpreter_shell_runs(folder, argv, programs);
	interpreter_read_program(folder, argv[0], path, head);
	if (strncmp(head, "#!", 2) != 0)
		return false;
	end = head + strcspn(head, "\n");
	by_shell = *end;
	*end = '\0';
	if (interpreter_has_word(head, programs))
		return true;
	return by_shell && interpreter_has_word(head, shells) &&
	       interpreter_has_word(end + 1, programs);
}
