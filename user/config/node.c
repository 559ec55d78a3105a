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

#define RESULT_FD   3
#define OUTPUT_MAX  (16 << 20)
#define TIMEOUT_S   10   /* the supervisor is blocked for that time */
#define MESSAGE_MAX 2000 /* bytes of node's message; file and line are at its beginning */

/* node prints an uncaught exception with its file, line and source text. */
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

/* A process group of its own, so that its children are killed with it; and default signals, as the
 * supervisor blocks or ignores some. */
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

static int node_spawn(const char *path, int result, int message, pid_t *ret)
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

/* Reads once. 1, or 0 at the end of file. */
static int node_read_output(struct output *output)
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

/* node did not finish by the deadline. */
#define NODE_TIMEOUT 2

/* Reads both to their ends together: node must not block on either. */
static int node_read_outputs(struct output outputs[2], int64_t deadline)
{
	struct pollfd fds[2] = {{outputs[0].fd, POLLIN, 0}, {outputs[1].fd, POLLIN, 0}};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		const int r = poll(fds, 2, node_ms_until(deadline));

		if (r == 0)
			return NODE_TIMEOUT;
		if (r < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < 2; i++) {
			const int more =
			        r > 0 && fds[i].revents ? node_read_output(&outputs[i]) : 1;

			if (more < 0)
				return more;
			if (more == 0)
				fds[i].fd = -1;
		}
	}
	return 0;
}

/* Waits for node's exit, which can be later than the end of both outputs. */
static int node_await_exit(pid_t pid, int64_t deadline)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd end = {.fd = pidfd, .events = POLLIN};
	int r;

	if (pidfd < 0)
		return -errno;
	do {
		r = poll(&end, 1, node_ms_until(deadline));
	} while (r < 0 && errno == EINTR);
	return r > 0 ? 0 : r < 0 ? -errno : NODE_TIMEOUT;
}

static int node_reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status;
}

/* Node's message without its version, its stack and the line of our loader: none of them helps. */
static const char *node_trim(char *message)
{
	const char *own = strncmp(message, "[eval]", 6) ? NULL : strstr(message, "\n\n");
	char *end = strstr(message, "\n    at ");

	if (!end)
		end = strstr(message, "\nNode.js v");
	if (end)
		*end = '\0';
	for (end = message + strlen(message); end > message && end[-1] == '\n';)
		*--end = '\0';
	return own && own < end ? own + 2 : message;
}

/* The LINE of the first PATH:LINE in the message, or 0. node may have resolved @path. */
static unsigned int node_find_line(const char *message, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *at = strstr(message, name);

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
		r = node_spawn(path, result, message, &pid);
	if (r == -ENOENT)
		return error_set(err, r,
		                 "can't read '%s': node is not installed; install nodejs, or write "
		                 "the file as .json or as a configuration file of reuseportd",
		                 path);
	if (r < 0)
		return error_set(err, r, "can't start node: %s", strerror(-r));
	close(TAKE_FD(result));
	close(TAKE_FD(message));
	r = node_read_outputs(outputs, deadline);
	close(TAKE_FD(outputs[0].fd));
	close(TAKE_FD(outputs[1].fd));
	if (r == 0)
		r = node_await_exit(pid, deadline);
	if (r != 0)
		kill(-pid, SIGKILL);
	status = node_reap(pid);
	if (r == NODE_TIMEOUT)
		return error_set(
		        err, -ETIME,
		        "node has not finished reading '%s' after %d s; the file must only "
		        "export the services, and not wait for anything",
		        path, TIMEOUT_S);
	if (r < 0)
		return error_set(err, r, "can't read node's output for '%s': %s", path,
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
		*ret_line = outputs[1].text ? node_find_line(outputs[1].text, path) : 0;
		r = NODE_REJECTED;
		error_set(err, -EINVAL, "node failed to read the file: %.*s", MESSAGE_MAX,
		          outputs[1].text ? node_trim(outputs[1].text) : "it exited early");
	}
	for (int i = 0; i < 2; i++) {
		if (outputs[i].fd >= 0)
			close(outputs[i].fd);
		free(outputs[i].text);
	}
	return r;
}
