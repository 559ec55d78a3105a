/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/pipe_bed.h"

#include <fcntl.h>

#include "check/check.h"

void pipe_bed_close(int (*pair)[2])
{
	cleanup_close(&(*pair)[0]);
	cleanup_close(&(*pair)[1]);
}

void pipe_bed_open(int pair[2], int size)
{
	CHECK(pipe2(pair, O_CLOEXEC) == 0);
	CHECK(size == 0 || fcntl(pair[1], F_SETPIPE_SZ, size) > 0);
}
