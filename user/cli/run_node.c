/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/run_node.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

#define RESULT_FD  3
#define OUTPUT_MAX (16 << 20)
#define SAID_MAX   2000 /* of node's message; the beginning names file and line */

/* An exception that nobody catches is told by node with the file, the line and the text there. */
static const char loader[] =
        "const path = require('path').resolve(process.argv[1]);\n"
        "const write = (module) => {\n"
        "  const config = module && module.default !== undefined ? module.default : module;\n"
        "  const text = Buffer.from(JSON.stringify(config, (key, value) => {\n"
        "    if (typeof value === 'function')\n"
        "      throw new Error(`${key || 'what it exports'} is a function`);\n"
        "    return value;\n"
        "  }) || 'null');\n"
        "  for (let at = 0; at < text.length;)\n"
        "    at += require('fs').writeSync(3, text, at);\n"
        "  process.exit(0);\n"
        "};\n"
        "let module_;\n"
        "try { module_ = require(path); } catch (error) {\n"
        "  if (error.code !== 'ERR_REQUIRE_ESM') throw error;\n"
        "  module_ = import(require('url').pathToFileURL(path));\n"
        "}\n"
        "if (module_ instanceof Promise) module_.then(write); else write(module_);\n";

struct output {
	int fd;
	char *text;
	size_t n;
};

static int make_pipe(struct output *output, int *ret_writer)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	output->fd = fds[0];
	*ret_writer = fds[1];
	return 0;
}

static int start(const char *path, int result, int message, pid_t *ret)
{
	char *argv[] = {"node", "-e", (char *)loader, (char *)path, NULL};
	posix_spawn_file_actions_t actions;
	int r = -posix_spawn_file_actions_init(&actions);

	if (r == 0)
		r = -posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(&actions, 2, 1);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(&actions, message, 2);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(&actions, result, RESULT_FD);
	if (r == 0)
		r = -posix_spawnp(ret, "node", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* What is there to be read. 0 at the end. */
static int take(struct output *output)
{
	char buf[16384];
	const ssize_t n = read(output->fd, buf, sizeof(buf));
	char *text;

	if (n <= 0)
		return n < 0 && errno == EINTR ? 1 : n < 0 ? -errno : 0;
	if (output->n + n > OUTPUT_MAX)
		return -EFBIG;
	text = realloc(output->text, output->n + n + 1);
	if (!text)
		return -ENOMEM;
	memcpy(text + output->n, buf, n);
	output->text = text;
	output->n += n;
	text[output->n] = '\0';
	return 1;
}

/* Both to their ends: node must not wait for either. */
static int take_all(struct output outputs[2])
{
	struct pollfd fds[2] = {{outputs[0].fd, POLLIN, 0}, {outputs[1].fd, POLLIN, 0}};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < 2; i++) {
			const int r = fds[i].revents ? take(&outputs[i]) : 1;

			if (r < 0)
				return r;
			if (r == 0)
				fds[i].fd = -1;
			fds[i].revents = 0;
		}
	}
	return 0;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status;
}

/* What node said, without its version, its stack, and our own line that an error came through: they
 * lead nowhere. */
static const char *trim(char *said)
{
	const char *own = strncmp(said, "[eval]", 6) ? NULL : strstr(said, "\n\n");
	char *end = strstr(said, "\n    at ");

	if (!end)
		end = strstr(said, "\nNode.js v");
	if (end)
		*end = '\0';
	for (end = said + strlen(said); end > said && end[-1] == '\n';)
		*--end = '\0';
	return own && own < end ? own + 2 : said;
}

/* PATH:LINE at the beginning of a line of it; @path as it was given, or as node has resolved it. */
static unsigned int line_in(const char *said, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *at = strstr(said, name);

	if (!at || at[strlen(name)] != ':')
		return 0;
	return strtoul(at + strlen(name) + 1, NULL, 10);
}

static int run(const char *path, struct output outputs[2], struct error *err)
{
	_cleanup_close_ int result = -1, message = -1;
	pid_t pid;
	int status, r = make_pipe(&outputs[0], &result);

	if (r == 0)
		r = make_pipe(&outputs[1], &message);
	if (r == 0)
		r = start(path, result, message, &pid);
	if (r == -ENOENT)
		return error_set(err, r,
		                 "'%s' is JavaScript, and node isn't there to read it; install "
		                 "nodejs, or write it as .json or as a file of reuseportd",
		                 path);
	if (r < 0)
		return error_set(err, r, "node can't be started: %s", strerror(-r));
	close(TAKE_FD(result));
	close(TAKE_FD(message));
	r = take_all(outputs);
	close(TAKE_FD(outputs[0].fd)); /* so that it ends, if it hasn't */
	close(TAKE_FD(outputs[1].fd));
	status = wait_for(pid);
	if (r < 0)
		return error_set(err, r, "can't read what node makes of '%s': %s", path,
		                 strerror(-r));
	return status;
}

int run_node_read(const char *path, char **ret, unsigned int *ret_line, struct error *err)
{
	struct output outputs[2] = {{.fd = -1}, {.fd = -1}};
	int r = run(path, outputs, err);

	*ret_line = 0;
	if (r == 0 && outputs[0].text) {
		*ret = TAKE_PTR(outputs[0].text);
	} else if (r >= 0) {
		*ret_line = outputs[1].text ? line_in(outputs[1].text, path) : 0;
		r = error_usage(err, "node can't read it: %.*s", SAID_MAX,
		                outputs[1].text ? trim(outputs[1].text) : "it ended early");
	}
	for (int i = 0; i < 2; i++) {
		if (outputs[i].fd >= 0)
			close(outputs[i].fd);
		free(outputs[i].text);
	}
	return r;
}
