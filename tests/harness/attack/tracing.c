/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes that keep others from going on. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "attack.h"

/* A child traces the worker, which ends: until the child has ended, the worker can't be reaped. */
ATTACK(traced_end)
{
	const pid_t self = getpid();
	int ready[2];
	char byte = 0;

	signal(SIGTERM, SIG_IGN);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	if (pipe(ready) < 0)
		return;
	if (fork() == 0) {
		if (ptrace(PTRACE_SEIZE, self, 0, 0) == 0 && write(ready[1], &byte, 1) == 1)
			pause();
		_exit(1);
	}
	if (read(ready[0], &byte, 1) == 1)
		usleep(200000); /* it is ready */
	_exit(0);
}

/* Keeps a lease on the file, a program: who opens it waits for as long as the kernel allows
 * (fs.lease-break-time, 45 s). ARGUMENTS: the file. */
ATTACK(lease)
{
	const int fd = open(arguments[0], O_RDWR);

	signal(SIGIO, SIG_IGN);
	if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0) {
		perror("attack: F_SETLEASE");
		return;
	}
	puts("leased");
	fflush(stdout);
	for (;;)
		pause();
}

/* Stops every process of its user again and again, except itself. */
ATTACK(stop_all)
{
	for (;;)
		kill(-1, SIGSTOP);
}
