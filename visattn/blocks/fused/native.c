/* Passes over a map of floats, for gates; see native.py.

   An image of the map is a matrix: a row per channel (N, C, HW), or with LAST a row per place
   (N, HW, C). The map is x = a[c] u + b[c], or u itself where a and b are null. Every function takes
   the images from first to last. Compiled without contraction, x has the same bits in each of them,
   so that a maximum found in one is found again in another. Sums are taken in blocks, and over blocks
   in double.
*/
#include <math.h>
#include <stddef.h>

#define LANES 16
#define BLOCK 4096 /* columns at a time: what is kept for each stays in the second cache */
#define GROUP 16   /* rows summed in single precision */

typedef float V __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int M __attribute__((vector_size(4 * LANES)));

static inline V larger(V x, V y) {
  M first = x > y;
  return (V)(((M)x & first) | ((M)y & ~first));
}

static inline V at(const float *row) { return *(const V *)row; }

static inline float total_of(V x) {
  double total = 0;
  for (int i = 0; i < LANES; i++) total += x[i];
  return (float)total;
}

typedef const float *restrict In;
typedef float *restrict Out;
typedef long Size;

#if LAST
#define ROWS P
#define COLUMNS C
#define CHANNEL k
#define PLACE r
#define BY_LAYOUT(first, last) last
#else
#define ROWS C
#define COLUMNS P
#define CHANNEL r
#define PLACE k
#define BY_LAYOUT(first, last) first
#endif

#define EACH _Pragma("GCC ivdep") /* an output is its own input at most */
#define SMALLER(x, y) ((x) < (y) ? (x) : (y))
#define IMAGES for (Size n = first; n < last; n++)
#define EACH_ROW for (Size r = 0; r < ROWS; r++)
#define ROW(t) ((t) + (n * ROWS + r) * COLUMNS)
#define X (a ? row[k] * a[CHANNEL] + b[CHANNEL] : row[k])

/* The mean and the maximum of each row of y = x g, with a gate per column or none. */
static inline void of_rows(Size rows, Size columns, In x, In g, Out mean, Out highest) {
  for (Size r = 0; r < rows; r++) {
    const float *row = x + r * columns;
    double total = 0;
    V most = (V){0} - INFINITY;
    float rest = -INFINITY;
    for (Size start = 0; start < columns; start += BLOCK) {
      Size end = SMALLER(start + BLOCK, columns), k = start;
      V sum = {0}, more = {0};
      for (; k + 2 * LANES <= end; k += 2 * LANES) {
        V y = at(row + k), z = at(row + k + LANES);
        if (g) y *= at(g + k), z *= at(g + k + LANES);
        sum += y, more += z;
        most = larger(larger(y, z), most);
      }
      for (; k < end; k++) {
        float y = g ? row[k] * g[k] : row[k];
        total += y;
        rest = y > rest ? y : rest;
      }
      total += total_of(sum + more);
    }
    for (int i = 0; i < LANES; i++) rest = most[i] > rest ? most[i] : rest;
    mean[r] = (float)(total / columns);
    highest[r] = rest;
  }
}

/* The same of each column, with a gate per row or none. */
static inline void of_columns(Size rows, Size columns, In x, In g, Out mean, Out highest) {
  for (Size start = 0; start < columns; start += BLOCK) {
    Size width = SMALLER(BLOCK, columns - start);
    double total[BLOCK];
    float sum[BLOCK], most[BLOCK];
    for (Size k = 0; k < width; k++) total[k] = sum[k] = 0, most[k] = -INFINITY;
    for (Size r = 0; r < rows; r++) {
      const float *row = x + r * columns + start;
      float gate = g ? g[r] : 1.0f;
      for (Size k = 0; k < width; k++) {
        float y = row[k] * gate;
        sum[k] += y;
        most[k] = y > most[k] ? y : most[k];
      }
      if (r % GROUP == GROUP - 1 || r == rows - 1)
        for (Size k = 0; k < width; k++) total[k] += sum[k], sum[k] = 0;
    }
    for (Size k = 0; k < width; k++) {
      mean[start + k] = (float)(total[k] / rows);
      highest[start + k] = most[k];
    }
  }
}

/* The mean and the maximum of each channel. */
void pool(Size first, Size last, Size C, Size P, In u, Out mean, Out highest) {
  IMAGES BY_LAYOUT(of_rows, of_columns)
  (ROWS, COLUMNS, u + n * C * P, NULL, mean + n * C, highest + n * C);
}

/* The mean and the maximum over the channels, at each place, of y = x g. */
void pool_channels(Size first, Size last, Size C, Size P, In u, In g, Out mean, Out highest) {
  IMAGES BY_LAYOUT(of_columns, of_rows)
  (ROWS, COLUMNS, u + n * C * P, g + n * C, mean + n * P, highest + n * P);
}

/* z = x g s, for gates per channel and per place, or z = x g + shift without the latter.
   z may be u itself. */
void gate(Size first, Size last, Size C, Size P, const float *u, In g, In s, In shift, float *z) {
  IMAGES EACH_ROW {
    const float *row = ROW(u), *gn = g + n * C;
    float *to = ROW(z);
    if (s) {
      const float *sn = s + n * P;
      EACH for (Size k = 0; k < COLUMNS; k++) to[k] = row[k] * gn[CHANNEL] * sn[PLACE];
    } else {
      const float *more = shift + n * C;
      EACH for (Size k = 0; k < COLUMNS; k++) to[k] = row[k] * gn[CHANNEL] + more[CHANNEL];
    }
  }
}

/* The sum over the places of what is there, for each channel. */
#if LAST
#define SUMS(WHAT)                                                             \
  for (Size start = 0; start < C; start += BLOCK) {                            \
    Size end = SMALLER(start + BLOCK, C);                                      \
    double total[BLOCK];                                                       \
    float sum[BLOCK];                                                          \
    for (Size k = start; k < end; k++) total[k - start] = sum[k - start] = 0;  \
    EACH_ROW {                                                                 \
      const float *row = ROW(u), *grad = ROW(d);                               \
      for (Size k = start; k < end; k++) sum[k - start] += WHAT;               \
      if (r % GROUP == GROUP - 1 || r == P - 1)                                \
        for (Size k = 0; k < end - start; k++) total[k] += sum[k], sum[k] = 0; \
    }                                                                          \
    for (Size k = start; k < end; k++) sums[n * C + k] = (float)total[k - start]; \
  }
#else
#define SUMS(WHAT)                                                    \
  EACH_ROW {                                                          \
    const float *row = ROW(u), *grad = ROW(d);                        \
    double total = 0;                                                 \
    for (Size start = 0; start < P; start += BLOCK) {                 \
      Size end = SMALLER(start + BLOCK, P), k = start;                \
      float sum[LANES] = {0};                                         \
      for (; k + LANES <= end; k += LANES)                            \
        for (Size lane = 0, from = k; lane < LANES; lane++) {         \
          Size k = from + lane;                                       \
          sum[lane] += WHAT;                                          \
        }                                                             \
      for (; k < end; k++) sum[0] += WHAT;                            \
      for (int i = 0; i < LANES; i++) total += sum[i];                \
    }                                                                 \
    sums[n * C + r] = (float)total;                                   \
  }
#endif

/* sum_hw(d x) of each channel. */
void product(Size first, Size last, Size C, Size P, In u, In a, In b, In d, Out sums) {
  IMAGES SUMS(grad[k] * X)
}

/* A value into a maximum and the number of those that are equal to it. */
#define HIGHER(value, most, many)                                                 \
  many = value > most ? 1.0f : many + (value == most ? 1.0f : 0.0f);              \
  most = value > most ? value : most;

/* A value into the numbers of its row (at a lane) and of its column. */
#define AT(k, i)                                          \
  {                                                       \
    float x = X, y = x * gate[CHANNEL], dy = grad[k] * y; \
    BY_LAYOUT(sum[k - start], row_sum[i]) += dy;          \
    float of_row = BY_LAYOUT(x, y), of_column = BY_LAYOUT(y, x); \
    HIGHER(of_column, most[k - start], many[k - start])   \
    HIGHER(of_row, top[i], equal[i])                      \
  }

/* sum_c(d y) of each place; the maxima of y over channels and of x over places, and how many
   are equal to them. */
void places(Size first, Size last, Size C, Size P, In u, In a, In b, In d, In g, Out sums,
            Out highest_c, Out count_c, Out highest, Out count) {
  IMAGES {
    const float *gate = g + n * C;
    float *sum_n = sums + n * P;
    float *top_r = BY_LAYOUT(highest, highest_c) + n * ROWS, *equal_r = BY_LAYOUT(count, count_c) + n * ROWS;
    float *top_k = BY_LAYOUT(highest_c, highest) + n * COLUMNS, *equal_k = BY_LAYOUT(count_c, count) + n * COLUMNS;
    EACH_ROW top_r[r] = -INFINITY, equal_r[r] = 0;
    for (Size r = 0; r < P; r++) sum_n[r] = 0;
    for (Size start = 0; start < COLUMNS; start += BLOCK) {
      Size end = SMALLER(start + BLOCK, COLUMNS), width = end - start;
      double total[BLOCK];
      float sum[BLOCK], most[BLOCK], many[BLOCK];
      for (Size k = 0; k < width; k++) total[k] = sum[k] = many[k] = 0, most[k] = -INFINITY;
      EACH_ROW {
        const float *row = ROW(u), *grad = ROW(d);
        float row_sum[LANES] = {0}, top[LANES], equal[LANES];
        for (int i = 0; i < LANES; i++) top[i] = -INFINITY, equal[i] = 0;
        Size k = start;
        for (; k + LANES <= end; k += LANES)
          for (Size i = 0, from = k; i < LANES; i++) {
            Size k = from + i;
            AT(k, i)
          }
        for (; k < end; k++) AT(k, 0)
        for (int i = 0; i < LANES; i++) {
          if (top[i] > top_r[r]) top_r[r] = top[i], equal_r[r] = equal[i];
          else if (top[i] == top_r[r]) equal_r[r] += equal[i];
        }
        if (LAST) {
          for (int i = 0; i < LANES; i++) sum_n[r] += row_sum[i];
        } else if (r % GROUP == GROUP - 1 || r == ROWS - 1)
          for (Size k = 0; k < width; k++) total[k] += sum[k], sum[k] = 0;
      }
      for (Size k = 0; k < width; k++) {
        top_k[start + k] = most[k], equal_k[start + k] = many[k];
        if (!LAST) sum_n[start + k] = (float)total[k];
      }
    }
  }
}

/* The gradient of y at a place: d s + of_mean + [y = highest] of_highest. */
#define DY(y) \
  (grad[k] * sn[PLACE] + mean_n[PLACE] + ((y) == highest_n[PLACE] ? most_n[PLACE] : 0.0f))
#define OF_IMAGE                                              \
  const float *gate = g + n * C;                              \
  const float *sn = s + n * P, *mean_n = of_mean_c + n * P;   \
  const float *most_n = of_highest_c + n * P, *highest_n = highest_c + n * P;

/* sum_hw(dy x) of each channel. */
void channels(Size first, Size last, Size C, Size P, In u, In a, In b, In d, In g, In s,
              In of_mean_c, In of_highest_c, In highest_c, Out sums) {
  IMAGES {
    OF_IMAGE
    SUMS(X * DY(X * gate[CHANNEL]))
  }
}

/* dx = dy g + of_mean + [x = highest] of_highest. */
void whole(Size first, Size last, Size C, Size P, In u, In a, In b, In d, In g, In s,
           In of_mean_c, In of_highest_c, In highest_c, In of_mean, In of_highest, In highest,
           Out dx) {
  IMAGES {
    OF_IMAGE
    const float *mean = of_mean + n * C, *most = of_highest + n * C, *top = highest + n * C;
    EACH_ROW {
      const float *row = ROW(u), *grad = ROW(d);
      float *to = ROW(dx);
      EACH for (Size k = 0; k < COLUMNS; k++) {
        float x = X;
        to[k] = DY(x * gate[CHANNEL]) * gate[CHANNEL] + mean[CHANNEL]
            + (x == top[CHANNEL] ? most[CHANNEL] : 0.0f);
      }
    }
  }
}
