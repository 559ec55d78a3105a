/* SPDX-License-Identifier: BSD-2-Clause */
#include "signals.h"

#include <signal.h>
#include <stddef.h>

#include "lane.h"

static void ignore_signal(int signal)
{
	(void)signal;
}

static void wanted_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGUSR1);
	sigaddset(ret, SIGUSR2);
	sigaddset(ret, SIGCHLD);
}

/* The main thread of each process takes the signals; SIGRTMIN only interrupts accept(). */
void signals_init(void)
{
	const struct sigaction interrupt = {.sa_handler = ignore_signal};
	sigset_t set;

	wanted_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGRTMIN, &interrupt, NULL);
}

int signals_wait(void)
{
	sigset_t set;
	int signal;

	wanted_signals(&set);
	do {
		signal = sigwaitinfo(&set, NULL);
	} while (signal < 0);
	return signal;
}

unsigned signals_order(int signal)
{
	switch (signal) {
	case SIGUSR1:
		return ORDER_ACCEPT;
	case SIGUSR2:
		return ORDER_CLOSE;
	default:
		return ORDER_TERMINATE;
	}
}
