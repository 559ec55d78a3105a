/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that the supervisor reads from. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "attack.h"

/* Makes each descriptor that the worker was given a blocking one: a file description that it shares
 * with the supervisor then blocks the supervisor, too. */
ATTACK(blocking_descriptors)
{
	for (;;) {
		for (int fd = 0; fd < 64; fd++)
			fcntl(fd, F_SETFL, 0);
		usleep(1000);
	}
}
