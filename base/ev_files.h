/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BASE_EV_FILES_H
#define RH_BASE_EV_FILES_H

/* What a program does about files before it opens any. */

#include <fcntl.h>
#include <unistd.h>

/*
 * Gives the numbers of closed standard files to something that can be neither read nor written as
 * these are: a socket would get them otherwise, and with them what is printed or logged. Reads and
 * writes fail with EBADF, as if they were closed.
 */
static inline void rh_ev_hold_standard_files(void)
{
    int file = 0;
    while (file >= 0 && file <= STDERR_FILENO) {
        if (fcntl(file, F_GETFD) >= 0) {
            file++;
        } else {
            file = open("/dev/null", file == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

#endif
