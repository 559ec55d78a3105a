/* SPDX-License-Identifier: BSD-2-Clause */
/* A pair of descriptors, to read from [0] and write to [1], that is closed at the end of its scope.
 */
#pragma once

#include "base/cleanup.h"

#define _cleanup_pipe_ _cleanup_(pipe_bed_close)

void pipe_bed_close(int (*pair)[2]);

/* Makes a pipe that holds @size bytes, 0 = as many as usual. Fails the case if it cannot be made.
 */
void pipe_bed_open(int pair[2], int size);
