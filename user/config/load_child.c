/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/load_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/record.h"
#include "kern/working_dir.h"

#define RESULT_FD  3
#define RESULT_MAX (16 << 20) /* bytes */
#define READ_MAX   (64 << 10) /* bytes at a time */

struct load_child {
	const struct args *args;
	int fd, pidfd;
	char *result;
	size_t n;
};

/* --- in the child */

static void load_child_write_problems(const struct problems *problems, FILE *out)
{
	fwrite(&problems->n, sizeof(problems->n), 1, out);
	fwrite(&problems->n_errors, sizeof(problems->n_errors), 1, out);
	for (size_t i = 0; i < problems->n; i++) {
		const struct problem *p = &problems->list[i];

		fwrite(&p->line, sizeof(p->line), 1, out);
		fwrite(&p->warning, sizeof(p->warning), 1, out);
		record_write_text(p->text, out);
	}
}

/* Configurations with errors are of no use to the parent. */
static void load_child_write(int r, const struct error *err, const struct load_result *loaded,
                             FILE *out)
{
	const size_t n = r < 0 ? 0 : loaded->n;

	fwrite(&r, sizeof(r), 1, out);
	fwrite(&err->status, sizeof(err->status), 1, out);
	record_write_text(err->text, out);
	load_child_write_problems(&loaded->problems, out);
	fwrite(&n, sizeof(n), 1, out);
	for (size_t i = 0; i < n; i++)
		run_config_write(&loaded->configs[i], out);
}

/* If memory is short, the kernel ends this child and what it evaluates, not the supervisor. */
static void load_child_offer_to_oom(void)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "1000", 4) < 0)
		return; /* as before */
}

static _Noreturn void load_child_run(const struct args *args, int writer, pid_t parent)
{
	struct load_result loaded = {};
	struct error err = {};
	FILE *out;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Nothing of the parent's may stay open because of us: a listener would get connections. */
	if (getppid() != parent || (writer != RESULT_FD && dup2(writer, RESULT_FD) < 0) ||
	    syscall(SYS_close_range, RESULT_FD + 1, ~0U, 0) < 0 ||
	    fcntl(RESULT_FD, F_SETFD, FD_CLOEXEC) < 0)
		_exit(EXIT_FAILURE);
	load_child_offer_to_oom();
	working_dir_follow();
	r = args_load(args, &loaded, &err);
	out = fdopen(RESULT_FD, "w");
	if (!out)
		_exit(EXIT_FAILURE);
	load_child_write(r, &err, &loaded, out);
	_exit(fflush(out) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* --- here */

int load_child_start(const struct args *args, struct load_child **ret, struct error *err)
{
	struct load_child *child = calloc(1, sizeof(*child));
	const pid_t parent = getpid();
	_cleanup_close_ int writer = -1;
	int fds[2];
	pid_t pid;

	if (!child)
		return error_set(err, -ENOMEM, "out of memory");
	*child = (struct load_child){.args = args, .fd = -1, .pidfd = -1};
	if (pipe2(fds, O_CLOEXEC) == 0) {
		child->fd = fds[0];
		writer = fds[1];
	}
	if (child->fd < 0 || fcntl(child->fd, F_SETFL, O_NONBLOCK) < 0 || (pid = fork()) < 0) {
		const int r = -errno;

		load_child_free(child);
		return error_set(err, r, "can't start a process that reads '%s': %s", args->file,
		                 strerror(-r));
	}
	if (pid == 0)
		load_child_run(args, writer, parent);
	child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (child->pidfd < 0) {
		const int r = -errno;

		kill(pid, SIGKILL);
		load_child_free(child);
		return error_set(err, r, "can't watch the process that reads '%s': %s", args->file,
		                 strerror(-r));
	}
	*ret = child;
	return 0;
}

int load_child_fd(const struct load_child *child)
{
	return child->fd;
}

int load_child_read(struct load_child *child)
{
	char *grown = realloc(child->result, child->n + READ_MAX);
	ssize_t n;

	if (!grown)
		return -ENOMEM;
	child->result = grown;
	n = read(child->fd, child->result + child->n, READ_MAX);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? LOAD_CHILD_MORE : -errno;
	child->n += (size_t)n;
	return n == 0 ? 0 : child->n > RESULT_MAX ? -E2BIG : LOAD_CHILD_MORE;
}

static int load_child_read_problems(FILE *in, struct problems *problems)
{
	size_t n, n_errors;
	int r = fread(&n, sizeof(n), 1, in) == 1 && fread(&n_errors, sizeof(n_errors), 1, in) == 1
	                ? 0
	                : -EBADMSG;

	for (size_t i = 0; r == 0 && i < n; i++) {
		_cleanup_free_ char *text = NULL;
		unsigned int line;
		bool warning;

		if (fread(&line, sizeof(line), 1, in) != 1 ||
		    fread(&warning, sizeof(warning), 1, in) != 1)
			return -EBADMSG;
		r = record_read_text(in, &text);
		if (r == 0)
			(warning ? problems_warn : problems_add)(problems, line, "%s",
			                                         text ? text : "out of memory");
	}
	return r;
}

static int load_child_read_configs(FILE *in, struct load_result *ret)
{
	size_t n;
	int r = fread(&n, sizeof(n), 1, in) == 1 ? 0 : -EBADMSG;

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct run_config config, *place;

		r = run_config_read(in, &config);
		place = r == 0 ? load_add(ret) : NULL;
		if (place) {
			*place = config;
		} else if (r == 0) {
			run_config_free(&config);
			r = -ENOMEM;
		}
	}
	return r;
}

/* Sets *ret_result to what args_load() has returned. */
static int load_child_parse(FILE *in, struct load_result *ret, int *ret_result, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	int r, status;

	if (fread(ret_result, sizeof(*ret_result), 1, in) != 1 ||
	    fread(&status, sizeof(status), 1, in) != 1)
		return -EBADMSG;
	r = record_read_text(in, &text);
	if (r == 0)
		r = load_child_read_problems(in, &ret->problems);
	if (r == 0)
		r = load_child_read_configs(in, ret);
	if (r == 0 && err && text) {
		err->status = status;
		snprintf(err->text, sizeof(err->text), "%s", text);
	}
	return r;
}

int load_child_result(const struct load_child *child, struct load_result *ret, struct error *err)
{
	_cleanup_load_result_ struct load_result loaded = {.problems.file = child->args->file};
	_cleanup_file_ FILE *in = child->n ? fmemopen(child->result, child->n, "r") : NULL;
	int result, r = in ? load_child_parse(in, &loaded, &result, err) : -ECHILD;

	if (r < 0)
		return error_set(err, r, "the process that read '%s' has ended early (%s)",
		                 child->args->file, strerror(-r));
	*ret = loaded;
	loaded = (struct load_result){};
	return result;
}

void load_child_free(struct load_child *child)
{
	if (!child)
		return;
	if (child->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
	cleanup_close(&child->pidfd);
	cleanup_close(&child->fd);
	free(child->result);
	free(child);
}
