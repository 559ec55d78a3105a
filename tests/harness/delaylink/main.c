/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * delaylink: a link with a delay between two network namespaces, for kernels without netem. It
 * creates a tun device in each namespace and carries every IP packet from one to the other, in
 * order, after a fixed one-way delay. A packet that finds the queue full is dropped and counted, as
 * a router does.
 *
 * It doesn't simulate jitter, loss, bandwidth limits or Ethernet frames. The devices live as long
 * as the program. Both directions share one thread, so the link carries about 100,000 packets a
 * second.
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "direction.h"
#include "options.h"

#define NS_PER_SEC 1000000000ULL

static int main_wait(struct pollfd *fds, nfds_t n, const struct direction *directions)
{
	uint64_t due = direction_due_ns(&directions[0]), other = direction_due_ns(&directions[1]);
	uint64_t now = direction_now_ns();
	struct timespec timeout = {0};

	due = other < due ? other : due;
	if (due != UINT64_MAX && due > now) {
		timeout.tv_sec = (time_t)((due - now) / NS_PER_SEC);
		timeout.tv_nsec = (long)((due - now) % NS_PER_SEC);
	}
	return ppoll(fds, n, due == UINT64_MAX ? NULL : &timeout, NULL);
}

/* Returns at a signal. Ends the program when a device is deleted, as reading from it fails. */
static void main_forward(struct direction *directions, int signals)
{
	struct pollfd fds[] = {
	        {.fd = directions[0].from->tun, .events = POLLIN},
	        {.fd = directions[1].from->tun, .events = POLLIN},
	        {.fd = signals, .events = POLLIN},
	};

	while (!fds[2].revents) {
		if (main_wait(fds, 3, directions) < 0 && errno != EINTR)
			err(EXIT_FAILURE, "ppoll");
		for (int i = 0; i < 2; i++) {
			if (fds[i].revents)
				direction_receive(&directions[i]);
		}
		direction_deliver(&directions[0]);
		direction_deliver(&directions[1]);
	}
}

static int main_open_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		err(EXIT_FAILURE, "signalfd");
	return fd;
}

int main(int argc, char **argv)
{
	struct options options;
	struct end *ends = options.ends;
	struct direction directions[2];
	int signals;

	options_parse(&options, argc, argv);
	signals = main_open_signals();
	/* The default timer slack of 50 us would be added to every delay. */
	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	device_open(&ends[0]);
	device_open(&ends[1]);
	direction_init(&directions[0], &ends[0], &ends[1], &options);
	direction_init(&directions[1], &ends[1], &ends[0], &options);
	puts("ready");
	fflush(stdout);
	main_forward(directions, signals);
	for (int i = 0; i < 2; i++) {
		direction_report(&directions[i]);
		direction_deinit(&directions[i]);
		close(ends[i].tun);
	}
	close(signals);
	return EXIT_SUCCESS;
}
