/* All-reduces with MPI, as a measure for ours. Rank 0 speaks the line protocol of rankGroup.ts for all ranks. */

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* A broadcast whose receivers sleep: MPI's own would keep a processor busy while others are measured. */
static void receive_request(long *request) {
  MPI_Request pending;
  int done = 0;
  MPI_Ibcast(request, 2, MPI_LONG, 0, MPI_COMM_WORLD, &pending);
  for (;;) {
    MPI_Test(&pending, &done, MPI_STATUS_IGNORE);
    if (done) return;
    usleep(2000);
  }
}

int main(int argc, char **argv) {
  int rank, size;
  char line[256];
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (rank == 0) {
    puts("ready");
    fflush(stdout);
  }
  for (;;) {
    long request[2] = {0, 0};
    if (rank == 0 && fgets(line, sizeof line, stdin)) {
      sscanf(line, "{\"bytes\":%ld,\"rounds\":%ld}", &request[0], &request[1]);
    }
    receive_request(request);
    if (request[1] == 0) break;
    long elements = request[0] / (long)sizeof(float);
    float *mine = malloc(request[0]), *sum = malloc(request[0]);
    if (rank == 0) fputs("[", stdout);
    for (long round = 0; round < request[1]; round++) {
      for (long at = 0; at < elements; at++) mine[at] = rank + 1;
      for (long at = 0; at < elements; at++) sum[at] = 0;
      MPI_Barrier(MPI_COMM_WORLD);
      double begin = now_ms(), end, first, last;
      MPI_Allreduce(mine, sum, (int)elements, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
      end = now_ms();
      float expected = size * (size + 1) / 2.0f;
      if (sum[0] != expected || sum[elements - 1] != expected) MPI_Abort(MPI_COMM_WORLD, 1);
      MPI_Reduce(&begin, &first, 1, MPI_DOUBLE, MPI_MIN, 0, MPI_COMM_WORLD);
      MPI_Reduce(&end, &last, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
      if (rank == 0) printf("%s[%.6f,%.6f]", round == 0 ? "" : ",", first, last);
    }
    if (rank == 0) {
      puts("]");
      fflush(stdout);
    }
    free(mine);
    free(sum);
  }
  MPI_Finalize();
  return 0;
}
