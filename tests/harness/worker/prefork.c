/* SPDX-License-Identifier: BSD-2-Clause */
#include "prefork.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lane.h"
#include "process.h"
#include "signals.h"

struct prefork {
	struct rows *rows;
	pid_t *children; /* by lane; 0: none */
	bool closed;
};

static void prefork_notify_parent(const struct rows *rows, void *data)
{
	const int *fd = data;

	if (write(*fd, "", 1) != 1)
		err(EXIT_FAILURE, "pipe to the parent");
	close(*fd);
}

static int prefork_child_main(struct prefork *prefork, unsigned number, pid_t parent, int ready)
{
	/* So that no server outlives a killed test. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		err(EXIT_FAILURE, "PR_SET_PDEATHSIG");
	if (getppid() != parent)
		exit(EXIT_FAILURE);
	free(prefork->children);
	prefork->children = NULL;
	return process_serve(prefork->rows, number, 1, prefork_notify_parent, &ready);
}

/* Returns true when the child polls, false if it ended first. */
static bool prefork_spawn_child(struct prefork *prefork, unsigned number)
{
	pid_t parent = getpid(), pid;
	int ready[2];
	char byte;
	bool polls;

	if (pipe2(ready, O_CLOEXEC) < 0)
		err(EXIT_FAILURE, "pipe");
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (pid == 0) {
		int status;

		close(ready[0]);
		status = prefork_child_main(prefork, number, parent, ready[1]);
		rows_deinit(prefork->rows);
		exit(status);
	}
	close(ready[1]);
	polls = TEMP_FAILURE_RETRY(read(ready[0], &byte, 1)) == 1;
	close(ready[0]);
	prefork->children[number] = pid;
	if (polls) {
		printf("child %u %d\n", number, pid);
		fflush(stdout);
	}
	return polls;
}

static void prefork_signal_children(const struct prefork *prefork, int signal)
{
	for (unsigned i = 0; i < prefork->rows->options->lanes; i++) {
		if (prefork->children[i])
			kill(prefork->children[i], signal);
	}
}

static void prefork_reap_children(struct prefork *prefork)
{
	bool respawn = !prefork->rows->options->no_respawn && !prefork->closed;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		for (unsigned i = 0; i < prefork->rows->options->lanes; i++) {
			if (prefork->children[i] != pid)
				continue;
			prefork->children[i] = 0;
			if (respawn && !prefork_spawn_child(prefork, i))
				warnx("child %u ended at once", i);
		}
	}
}

/* The parent ends after its children, so that its open listeners never are a black hole. */
static void prefork_supervise(struct prefork *prefork)
{
	unsigned order = 0;

	do {
		int signal = signals_wait();

		if (signal == SIGCHLD) {
			prefork_reap_children(prefork);
			continue;
		}
		order = signals_order(signal);
		if (order & (ORDER_CLOSE | ORDER_TERMINATE)) {
			prefork->closed = true;
			rows_close_others(prefork->rows, 0, 0);
		}
		prefork_signal_children(prefork, signal);
	} while (order != ORDER_TERMINATE);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

int prefork_serve(struct rows *rows)
{
	struct prefork prefork = {.rows = rows};
	unsigned n = rows->options->lanes;

	prefork.children = calloc(n, sizeof(*prefork.children));
	if (!prefork.children)
		err(EXIT_FAILURE, "children");
	for (unsigned i = 0; i < n; i++) {
		if (prefork_spawn_child(&prefork, i))
			continue;
		prefork_signal_children(&prefork, SIGTERM);
		errx(EXIT_FAILURE, "child %u did not start", i);
	}
	process_print_ready(rows, NULL);
	prefork_supervise(&prefork);
	free(prefork.children);
	return EXIT_SUCCESS;
}
