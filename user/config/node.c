/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/node.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "config/node_loader.h"
#include "kern/file_read.h"
#include "kern/spawn.h"
#include "kern/user_env.h"

#define RESULT_FD   3
#define TEXT_MAX    (64 << 10) /* of what node prints */
#define TIMEOUT_S   10
#define MESSAGE_MAX 2000 /* bytes of node's message; file and line are at its beginning */

/* What comes out of node: the result, messages, and what the module prints. */
enum { RESULT, MESSAGE, PRINTED, N_OUTPUTS };

struct output {
	int fd;
	char *text;
	size_t n, max;
	bool is_cut; /* there was more than @max, which was dropped */
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

/* Returns node's pid. */
static int node_spawn(const struct node_request *request, char *const *argv,
                      const int writers[N_OUTPUTS], int *ret_pidfd, struct error *err)
{
	_cleanup_(credentials_deinit) struct credentials id = {};
	const struct spawn_fd fds[] = {{writers[RESULT], RESULT_FD},
	                               {writers[MESSAGE], STDERR_FILENO},
	                               {writers[PRINTED], STDOUT_FILENO}};
	_cleanup_strv_ char **env = NULL;
	const struct spawn_request node = {.argv = argv,
	                                   .user = request->user,
	                                   .group = request->group,
	                                   .cgroup = -1,
	                                   .fds = fds,
	                                   .n_fds = ARRAY_SIZE(fds),
	                                   .confined = true};
	struct spawn_request with_env = node;
	int r = credentials_find(&id, request->user, request->group, err);

	if (r < 0)
		return r;
	env = user_env_new(&id);
	if (!env)
		return error_set(err, -ENOMEM, "out of memory");
	with_env.env = env;
	r = spawn_start(&with_env, ret_pidfd, err);
	if (r == -ENOENT)
		return error_set(err, r,
		                 "can't read '%s': node is not installed; install nodejs, or write "
		                 "the file as .json or as a configuration file of reuseportd",
		                 request->path);
	return r;
}

/* Reads once. 1, or 0 at the end of file. */
static int node_read_output(struct output *output)
{
	char buf[16384];
	ssize_t n = read(output->fd, buf, sizeof(buf));
	char *text;

	if (n <= 0)
		return n < 0 && errno == EINTR ? 1 : n < 0 ? -errno : 0;
	if (output->n + n > output->max) {
		output->is_cut = true;
		n = (ssize_t)(output->max - output->n);
	}
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

/* Reads from all outputs that have something, or have come to their end. */
static int node_read_ready(struct output outputs[N_OUTPUTS], struct pollfd fds[N_OUTPUTS])
{
	for (int i = 0; i < N_OUTPUTS; i++) {
		const int more = fds[i].revents ? node_read_output(&outputs[i]) : 1;

		if (more < 0)
			return more;
		if (more == 0)
			fds[i].fd = -1;
	}
	return 0;
}

/* Reads all until node has ended: it must not block on any. A process that node has left may have
 * them open for ever. */
static int node_read_outputs(struct output outputs[N_OUTPUTS], int pidfd, int64_t deadline)
{
	struct pollfd fds[N_OUTPUTS + 1] = {[N_OUTPUTS] = {pidfd, POLLIN, 0}};
	bool ended = false;

	for (int i = 0; i < N_OUTPUTS; i++)
		fds[i] = (struct pollfd){outputs[i].fd, POLLIN, 0};
	while (clock_ns(CLOCK_MONOTONIC) <= deadline) {
		int r = poll(fds, N_OUTPUTS + 1, ended ? 0 : node_ms_until(deadline));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : ended ? 0 : NODE_TIMEOUT;
		r = node_read_ready(outputs, fds);
		if (r < 0)
			return r;
		if (fds[N_OUTPUTS].revents) {
			ended = true;
			fds[N_OUTPUTS].fd = -1;
		}
	}
	return NODE_TIMEOUT;
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

/* Returns the status of waitpid(), or a negative errno. */
static int node_run(const struct node_request *request, char *const *argv,
                    struct output outputs[N_OUTPUTS], struct error *err)
{
	const int64_t deadline = clock_ns(CLOCK_MONOTONIC) + TIMEOUT_S * NS_PER_S;
	int writers[N_OUTPUTS] = {-1, -1, -1}, r = 0, status;
	_cleanup_close_ int pidfd = -1;
	pid_t pid = -1;

	for (int i = 0; i < N_OUTPUTS && r == 0; i++)
		r = node_make_pipe(&outputs[i], &writers[i]);
	if (r < 0)
		error_set(err, r, "can't start node: %s", strerror(-r));
	else
		r = pid = node_spawn(request, argv, writers, &pidfd, err);
	for (int i = 0; i < N_OUTPUTS; i++)
		cleanup_close(&writers[i]);
	if (r < 0)
		return r;
	r = node_read_outputs(outputs, pidfd, deadline);
	kill(-pid, SIGKILL);
	status = node_reap(pid);
	if (r == NODE_TIMEOUT)
		return error_set(
		        err, -ETIME,
		        "node has not finished reading '%s' after %d s; the file must only "
		        "export the services, and not wait for anything",
		        request->path, TIMEOUT_S);
	if (r < 0)
		return error_set(err, r, "can't read node's output for '%s': %s", request->path,
		                 strerror(-r));
	if (outputs[RESULT].is_cut)
		return error_usage(err, "can't read '%s': what it exports is larger than %d MB",
		                   request->path, FILE_READ_CONFIG_MAX >> 20);
	return status;
}

static int node_reject(const struct node_request *request, char *message, struct error *err)
{
	error_set(err, -EINVAL, "node%s%s failed to read the file: %.*s",
	          request->user ? ", as user " : "", request->user ? request->user : "",
	          MESSAGE_MAX, message ? node_trim(message) : "it exited early");
	return NODE_REJECTED;
}

int node_read(const struct node_request *request, struct node_answer *ret, struct error *err)
{
	struct output outputs[N_OUTPUTS] = {
	        [RESULT] = {.fd = -1, .max = FILE_READ_CONFIG_MAX},
	        [MESSAGE] = {.fd = -1, .max = TEXT_MAX},
	        [PRINTED] = {.fd = -1, .max = TEXT_MAX},
	};
	char *const argv[] = {"node",
	                      "-e",
	                      (char *)node_loader,
	                      "--",
	                      (char *)request->path,
	                      request->is_text ? "text" : NULL,
	                      NULL};
	char *message;
	int r = node_run(request, argv, outputs, err);

	message = outputs[MESSAGE].text;
	*ret = (struct node_answer){};
	if (r == 0 && outputs[RESULT].text) {
		ret->text = TAKE_PTR(outputs[RESULT].text);
		ret->printed = TAKE_PTR(outputs[PRINTED].text);
	} else if (r >= 0) {
		ret->line = message ? node_find_line(message, request->path) : 0;
		r = node_reject(request, message, err);
	}
	for (int i = 0; i < N_OUTPUTS; i++) {
		cleanup_close(&outputs[i].fd);
		free(outputs[i].text);
	}
	return r;
}

int node_version(const struct node_request *request)
{
	struct output outputs[N_OUTPUTS] = {
	        [RESULT] = {.fd = -1, .max = TEXT_MAX},
	        [MESSAGE] = {.fd = -1, .max = TEXT_MAX},
	        [PRINTED] = {.fd = -1, .max = TEXT_MAX},
	};
	char *const argv[] = {"node", "--version", NULL};
	struct error ignored;
	unsigned int major, minor;
	int r = node_run(request, argv, outputs, &ignored);

	if (r >= 0)
		r = outputs[PRINTED].text &&
		                    sscanf(outputs[PRINTED].text, "v%3u.%3u", &major, &minor) == 2
		            ? (int)(1000 * major + minor)
		            : -EBADMSG;
	for (int i = 0; i < N_OUTPUTS; i++) {
		cleanup_close(&outputs[i].fd);
		free(outputs[i].text);
	}
	return r;
}
