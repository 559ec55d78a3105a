/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/node.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define RESULT_FD  3
#define OUTPUT_MAX (16 << 20)
#define TIMEOUT_S  10   /* a supervisor does nothing else meanwhile */
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

static int node_make_pipe(struct output *output, int *ret_writer)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	output->fd = fds[0];
	*ret_writer = fds[1];
	return 0;
}

/* In a process group of its own, with what it starts; and without what a supervisor has blocked or
 * ignores. */
static int node_set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setsigmask(attributes, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attributes, &all);
	if (r == 0)
		r = posix_spawnattr_setpgroup(attributes, 0);
	if (r == 0)
		r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK |
		                                                 POSIX_SPAWN_SETSIGDEF |
		                                                 POSIX_SPAWN_SETPGROUP);
	return -r;
}

static int node_start(const char *path, int result, int message, pid_t *ret)
{
	char *argv[] = {"node", "-e", (char *)loader, (char *)path, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int r = -posix_spawn_file_actions_init(&actions);

	if (r == 0)
		r = -posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(&actions, 2, 1);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(&actions, message, 2);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(&actions, result, RESULT_FD);
	posix_spawnattr_init(&attributes);
	if (r == 0)
		r = node_set_attributes(&attributes);
	if (r == 0)
		r = -posix_spawnp(ret, "node", &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* What is there to be read. 0 at the end. */
static int node_take(struct output *output)
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

static int node_ms_until(int64_t deadline)
{
	const int64_t ns = deadline - clock_ns(CLOCK_MONOTONIC);

	return ns > 0 ? (int)(ns / 1000000) + 1 : 0;
}

/* Both to their ends: node must not wait for either. */
static int node_take_all(struct output outputs[2], int64_t deadline)
{
	struct pollfd fds[2] = {{outputs[0].fd, POLLIN, 0}, {outputs[1].fd, POLLIN, 0}};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		const int r = poll(fds, 2, node_ms_until(deadline));

		if (r == 0)
			return -ETIME;
		if (r < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < 2; i++) {
			const int more = r > 0 && fds[i].revents ? node_take(&outputs[i]) : 1;

			if (more < 0)
				return more;
			if (more == 0)
				fds[i].fd = -1;
		}
	}
	return 0;
}

/* It may have closed both, and go on. */
static int node_await_end(pid_t pid, int64_t deadline)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd end = {.fd = pidfd, .events = POLLIN};
	int r;

	if (pidfd < 0)
		return -errno;
	do {
		r = poll(&end, 1, node_ms_until(deadline));
	} while (r < 0 && errno == EINTR);
	return r > 0 ? 0 : r < 0 ? -errno : -ETIME;
}

static int node_reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status;
}

/* What node said, without its version, its stack, and our own line that an error came through: they
 * lead nowhere. */
static const char *node_trim(char *said)
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
static unsigned int node_line_in(const char *said, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *at = strstr(said, name);

	if (!at || at[strlen(name)] != ':')
		return 0;
	return strtoul(at + strlen(name) + 1, NULL, 10);
}

static int node_run(const char *path, struct output outputs[2], struct error *err)
{
	const int64_t deadline = clock_ns(CLOCK_MONOTONIC) + TIMEOUT_S * NS_PER_S;
	_cleanup_close_ int result = -1, message = -1;
	pid_t pid;
	int status, r = node_make_pipe(&outputs[0], &result);

	if (r == 0)
		r = node_make_pipe(&outputs[1], &message);
	if (r == 0)
		r = node_start(path, result, message, &pid);
	if (r == -ENOENT)
		return error_set(err, r,
		                 "'%s' is JavaScript, and node isn't there to read it; install "
		                 "nodejs, or write it as .json or as a file of reuseportd",
		                 path);
	if (r < 0)
		return error_set(err, r, "node can't be started: %s", strerror(-r));
	close(TAKE_FD(result));
	close(TAKE_FD(message));
	r = node_take_all(outputs, deadline);
	close(TAKE_FD(outputs[0].fd));
	close(TAKE_FD(outputs[1].fd));
	if (r == 0)
		r = node_await_end(pid, deadline);
	if (r < 0)
		kill(-pid, SIGKILL);
	status = node_reap(pid);
	if (r == -ETIME)
		return error_set(err, r,
		                 "node has not read '%s' within %d s; it must export the services "
		                 "and not wait for anything",
		                 path, TIMEOUT_S);
	if (r < 0)
		return error_set(err, r, "can't read what node makes of '%s': %s", path,
		                 strerror(-r));
	return status;
}

int node_read(const char *path, char **ret, unsigned int *ret_line, struct error *err)
{
	struct output outputs[2] = {{.fd = -1}, {.fd = -1}};
	int r = node_run(path, outputs, err);

	*ret_line = 0;
	if (r == 0 && outputs[0].text) {
		*ret = TAKE_PTR(outputs[0].text);
	} else if (r >= 0) {
		*ret_line = outputs[1].text ? node_line_in(outputs[1].text, path) : 0;
		r = error_usage(err, "node can't read it: %.*s", SAID_MAX,
		                outputs[1].text ? node_trim(outputs[1].text) : "it ended early");
	}
	for (int i = 0; i < 2; i++) {
		if (outputs[i].fd >= 0)
			close(outputs[i].fd);
		free(outputs[i].text);
	}
	return r;
}
