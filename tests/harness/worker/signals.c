/* SPDX-License-Identifier: BSD-2-Clause */
#include "signals.h"

#include <signal.h>
#include <stddef.h>

#include "lane.h"

static void signals_ignore(int signal)
{
}

static void signals_wanted(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGUSR1);
	sigaddset(ret, SIGUSR2);
	sigaddset(ret, SIGHUP);
	sigaddset(ret, SIGCHLD);
}

/* The main thread of each process waits for the signals. SIGRTMIN only interrupts accept(). */
void signals_init(void)
{
	const struct sigaction interrupt = {.sa_handler = signals_ignore};
	sigset_t set;

	signals_wanted(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGRTMIN, &interrupt, NULL);
}

int signals_wait(void)
{
	sigset_t set;
	int signal;

	signals_wanted(&set);
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
	case SIGHUP:
		return ORDER_HANG;
	default:
		return ORDER_TERMINATE;
	}
}
