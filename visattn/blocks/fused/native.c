/* Passes over a map of floats, for a batch normalisation and the gate behind it; see native.py.

   An image of the map is a matrix: a row per channel (N, C, P), or with LAST a row per place
   (N, P, C), P = H W. With x = a u + b, the map after the normalisation, and z = x g with a gate for
   each channel, d is the gradient for what the gate gives. Every function takes the images from
   first to last. Compiled without contraction, x and z have the same bits in each of them, so that a
   maximum found in one is found again in another. Sums are taken in blocks, and over blocks in
   double.
*/
#include <math.h>
#include <stddef.h>

#if defined(__FMA__) || defined(__aarch64__)
#define FMA(x, y, z) __builtin_fmaf(x, y, z)
#else
#define FMA(x, y, z) ((x) * (y) + (z))
#endif
#define LANES 64
#define STRETCH 1024 /* numbers that a lane sums in single precision */
#define BLOCK 4096 /* columns at a time: what is kept for each stays in the first caches */
#define GROUP 16   /* rows summed in single precision */
#define MANY 4     /* rows at a time, between which a sum stays in its register */

typedef const float *restrict In;
typedef float *restrict Out;
typedef const double *restrict Doubles;
typedef long Size;

#if LAST
#define ROWS P
#define COLUMNS C
#define CHANNEL k
#define PLACE r
#define PER_CHANNEL PER_COLUMN
#define PER_PLACE PER_ROW
#else
#define ROWS C
#define COLUMNS P
#define CHANNEL r
#define PLACE k
#define PER_CHANNEL PER_ROW
#define PER_PLACE PER_COLUMN
#endif

#define EACH _Pragma("GCC ivdep") /* an output is its own input at most */
#define SMALLER(x, y) ((x) < (y) ? (x) : (y))
#define LARGER(x, y) ((x) > (y) ? (x) : (y))
#define IMAGES for (Size n = first; n < last; n++)
#define EACH_ROW for (Size r = 0; r < ROWS; r++)
#define ROW(t) ((t) + (n * ROWS + r) * COLUMNS)
#define ROW_OF_U const float *row = ROW(u);
#define ROWS_OF_U_AND_D const float *row = ROW(u), *grad = ROW(d);

#define SUM(j) sum[j][i]
#define TOP top[i]

/* The sum of LANES numbers, by fewer and fewer of them, which goes several at a time. */
static inline float total_of(float *sum) {
  for (int half = LANES / 2; half >= 8; half /= 2)
    for (int i = 0; i < half; i++) sum[i] += sum[i + half];
  return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

static inline float highest_of(float *top) {
  for (int half = LANES / 2; half >= 1; half /= 2)
    for (int i = 0; i < half; i++) top[i] = LARGER(top[i], top[i + half]);
  return top[0];
}

#ifdef __AVX512F__ /* vectors as wide as the registers: wider ones are taken apart, lane by lane */
#include <immintrin.h>
#define WIDE 16
#define LANE 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define larger(x, y) ((V)_mm512_max_ps(x, y)) /* in one instruction what else takes two */
#elif defined(__AVX__)
#define WIDE 8
#define LANE 0, 1, 2, 3, 4, 5, 6, 7
#else
#define WIDE 4
#define LANE 0, 1, 2, 3
#endif
typedef float V __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));
typedef int M __attribute__((vector_size(4 * WIDE)));
typedef struct { double total; float high, low; } Pools;

static inline V at_place(const float *row) { return *(const V *)row; }

#ifndef larger
static inline V larger(V x, V y) {
  M first = x > y;
  return (V)(((M)x & first) | ((M)y & ~first));
}
#endif

/* Of `rest` lanes at the end x, zero in the others. */
static inline V last_of(V x, Size rest) {
  return (V)((M)x & ((M){LANE} >= (int)(WIDE - rest)));
}

/* Over the lanes by halves: one after the other would wait for each. */
#ifdef __clang__
static inline V swapped(V x, int half) {
  V y;
  for (int i = 0; i < WIDE; i++) y[i] = x[i ^ half];
  return y;
}
#else
#define swapped(x, half) __builtin_shuffle(x, (M){LANE} ^ (half))
#endif
#define BY_HALVES(WITH)                           \
  if (WIDE > 8) x = WITH(x, swapped(x, 8 % WIDE));       \
  if (WIDE > 4) x = WITH(x, swapped(x, 4 % WIDE)); \
  x = WITH(x, swapped(x, 2));                     \
  x = WITH(x, swapped(x, 1));

static inline float sum_of(V x) {
#define PLUS(x, y) ((x) + (y))
  BY_HALVES(PLUS)
  return x[0];
}

static inline float largest_of(V x) {
  BY_HALVES(larger)
  return x[0];
}

#if !LAST
/* The sum and the extremes of a row. */
static inline Pools pools_of(const float *row, Size P, int lowest) {
  Pools found = {0, -INFINITY, INFINITY};
  V top = (V){0} - INFINITY, bottom = top;
  Size k = 0;
  while (P - k >= WIDE) {
    V sum = {0};
    for (Size end = SMALLER(P, k + WIDE * GROUP); k + WIDE <= end; k += WIDE) {
      V x = at_place(row + k);
      sum += x, top = larger(x, top);
      if (lowest) bottom = larger(-x, bottom);
    }
    if (P - k < WIDE && k < P) { /* once more with some that were there */
      V x = at_place(row + P - WIDE);
      sum += last_of(x, P - k), top = larger(x, top), bottom = larger(-x, bottom);
      k = P;
    }
    found.total += sum_of(sum);
  }
  if (P >= WIDE) found.high = largest_of(top), found.low = -largest_of(bottom);
  for (; k < P; k++) {
    found.total += row[k];
    found.high = LARGER(row[k], found.high), found.low = SMALLER(row[k], found.low);
  }
  return found;
}
#endif

/* Of each row: COUNT sums, and a maximum, of what BODY adds to them at column k and lane i. */
#define PER_ROW(COUNT, POINTERS, BODY, STORE)                              \
  EACH_ROW {                                                               \
    POINTERS                                                               \
    double total[COUNT] = {0};                                             \
    float top[LANES];                                                      \
    for (int i = 0; i < LANES; i++) top[i] = -INFINITY;                    \
    for (Size from = 0; from < COLUMNS; from += LANES * STRETCH) {           \
      Size end = SMALLER(from + LANES * STRETCH, COLUMNS);                   \
      float sum[COUNT][LANES] = {{0}};                                     \
      for (Size start = from; start < end; start += LANES) {               \
        Size width = SMALLER(LANES, end - start);                          \
        EACH for (Size i = 0; i < width; i++) {                            \
          Size k = start + i;                                              \
          BODY                                                             \
        }                                                                  \
      }                                                                    \
      for (int j = 0; j < COUNT; j++) total[j] += total_of(sum[j]);        \
    }                                                                      \
    Size at = n * ROWS + r;                                                \
    STORE(total[0], total[COUNT > 1], total[COUNT > 2 ? 2 : 0], total[COUNT > 3 ? 3 : 0], \
          highest_of(top))                                                 \
  }

/* The same of each column. */
#define PER_COLUMN(COUNT, POINTERS, BODY, STORE)                           \
  for (Size start = 0; start < COLUMNS; start += BLOCK) {                  \
    Size width = SMALLER(BLOCK, COLUMNS - start);                          \
    double total[COUNT][BLOCK];                                            \
    float sum[COUNT][BLOCK], top[BLOCK];                                   \
    for (Size i = 0; i < width; i++) top[i] = -INFINITY;                   \
    for (int j = 0; j < COUNT; j++)                                        \
      for (Size i = 0; i < width; i++) total[j][i] = sum[j][i] = 0;        \
    for (Size row_0 = 0; row_0 < ROWS; row_0 += MANY) {                    \
      if (row_0 + MANY <= ROWS)                                            \
        EACH for (Size i = 0; i < width; i++) {                            \
          Size k = start + i;                                              \
          for (int j = 0; j < MANY; j++) {                                 \
            Size r = row_0 + j;                                            \
            POINTERS                                                       \
            BODY                                                           \
          }                                                                \
        }                                                                  \
      for (Size r = row_0; row_0 + MANY > ROWS && r < ROWS; r++) {         \
        POINTERS                                                           \
        EACH for (Size i = 0; i < width; i++) {                            \
          Size k = start + i;                                              \
          BODY                                                             \
        }                                                                  \
      }                                                                    \
      if (row_0 % GROUP == GROUP - MANY || row_0 + MANY >= ROWS)           \
        for (int j = 0; j < COUNT; j++)                                    \
          for (Size i = 0; i < width; i++) total[j][i] += sum[j][i], sum[j][i] = 0; \
    }                                                                      \
    for (Size i = 0; i < width; i++) {                                     \
      Size at = n * COLUMNS + start + i;                                   \
      STORE(total[0][i], total[COUNT > 1][i], total[COUNT > 2 ? 2 : 0][i], \
            total[COUNT > 3 ? 3 : 0][i], top[i])                           \
    }                                                                      \
  }

/* Of each channel of each image: mean, maximum, minimum; the last two unless null. */
void moments(Size first, Size last, Size C, Size P, In u, double *restrict mean, float *high,
             float *low) {
  IMAGES {
#if LAST
    double *m = mean + n * C;
    float *h = high ? high + n * C : NULL, *l = low ? low + n * C : NULL;
    for (Size c = 0; c < C; c++) m[c] = 0;
    for (Size c = 0; h && c < C; c++) h[c] = -INFINITY;
    for (Size c = 0; l && c < C; c++) l[c] = INFINITY;
    for (Size from = 0; from < P; from += GROUP)
      for (Size start = 0; start < C; start += BLOCK) {
        In part = u + (n * P + from) * C + start;
        Size rows = SMALLER(GROUP, P - from), width = SMALLER(BLOCK, C - start);
        float sum[BLOCK];
        for (Size k = 0; k < width; k++) sum[k] = 0;
        for (Size r = 0; r < rows; r++)
          EACH for (Size k = 0; k < width; k++) sum[k] += part[r * C + k];
        for (Size r = 0; h && r < rows; r++)
          EACH for (Size k = 0; k < width; k++) {
            float x = part[r * C + k];
            h[start + k] = LARGER(x, h[start + k]);
          }
        for (Size r = 0; l && r < rows; r++)
          EACH for (Size k = 0; k < width; k++) {
            float x = part[r * C + k];
            l[start + k] = SMALLER(x, l[start + k]);
          }
        EACH for (Size k = 0; k < width; k++) m[start + k] += sum[k];
      }
    for (Size c = 0; c < C; c++) m[c] /= P;
#else
    EACH_ROW {
      ROW_OF_U
      Size at = n * C + r;
      Pools found = low ? pools_of(row, P, 1) : pools_of(row, P, 0);
      mean[at] = found.total / P;
      if (high) high[at] = found.high;
      if (low) low[at] = found.low;
    }
#endif
  }
}

#if !LAST
/* Mean and variance of each channel over all images, each in one sum from the first number to the
   last, as PyTorch has them: SIDE channels beside each other, since a sum waits for itself. Running
   statistics, if any, follow by a share. */
#define SIDE (WIDE / 2) /* doubles in a register */
typedef float Few __attribute__((vector_size(4 * SIDE)));
typedef double Sums __attribute__((vector_size(8 * SIDE)));
#define EACH_NUMBER(BODY)                                                       \
  for (Size n = 0; n < N; n++) {                                                \
    const float *row[SIDE];                                                     \
    for (int j = 0; j < SIDE; j++) row[j] = u + (n * C + SMALLER(c + j, last - 1)) * P; \
    for (Size k = 0; k < P; k++) {                                              \
      Few x;                                                                    \
      for (int j = 0; j < SIDE; j++) x[j] = row[j][k];                          \
      BODY                                                                      \
    }                                                                           \
  }
void statistics(Size first, Size last, Size N, Size C, Size P, In u, double share, double rest,
                Out mean, Out variance, float *running_mean, float *running_variance) {
  for (Size c = first; c < last; c += SIDE) {
    Sums sum = {0}, square = {0};
    Few middle;
    EACH_NUMBER(sum += __builtin_convertvector(x, Sums);)
    for (int j = 0; j < SIDE; j++) middle[j] = (float)(sum[j] / (N * P));
    EACH_NUMBER(x -= middle; x *= x; square += __builtin_convertvector(x, Sums);)
    for (Size j = 0; j < SMALLER(SIDE, last - c); j++) {
      float all = (float)square[j];
      mean[c + j] = middle[j], variance[c + j] = all / (N * P);
      if (!running_mean) continue;
      float old = (float)rest * running_mean[c + j], new = all / (N * P - 1);
      running_mean[c + j] = (float)share * middle[j] + old;
      old = (float)rest * running_variance[c + j];
      running_variance[c + j] = FMA((float)share, new, old); /* as PyTorch is compiled */
    }
  }
}
#endif

/* The functions of channels.py, for channels first to last of all N images; null is None. What a and
   b are is rounded as PyTorch does it, which gives them where nothing is of the batch. */
void affine(Size first, Size last, Size N, Size C, Size of_batch, Doubles means, Doubles mean,
            Doubles variance, In weight, In bias, double eps, double *restrict inverse, Out a, Out b,
            Out middle, Out x_means) {
  for (Size c = first; c < last; c++) inverse[c] = 1 / sqrt(variance[c] + eps);
  for (Size c = first; c < last; c++) {
    middle[c] = (float)mean[c];
    if (!of_batch) continue;
    a[c] = (float)inverse[c] * (weight ? weight[c] : 1);
    b[c] = FMA(-middle[c], a[c], bias ? bias[c] : 0);
  }
  for (Size n = 0; n < N; n++)
    for (Size c = first; c < last; c++) {
      double slope = (weight ? weight[c] : 1) * inverse[c], off = means[n * C + c] - mean[c];
      x_means[n * C + c] = (float)(off * slope + (bias ? bias[c] : 0));
    }
}

void of_gate(Size first, Size last, Size N, Size C, Doubles mean, In a, In middle, In bias,
             In sums, Out products, Out of_gates) {
  for (Size n = 0; n < N; n++)
    for (Size c = first; c < last; c++) {
      Size at = n * C + c;
      double product = products[at] + (middle[c] - mean[c]) * sums[at];
      products[at] = (float)product;
      of_gates[at] = (float)(a[c] * product + (bias ? bias[c] : 0) * sums[at]);
    }
}

void of_norm(Size first, Size last, Size N, Size C, Size P, Size of_batch, Doubles means,
             Doubles mean, Doubles inverse, In g, In sums, In products, In of_means, In of_tops,
             In count, In tops, double *restrict total, double *restrict off_total, Out even,
             Out share, Out taken, Out off_taken, Out of_weight, Out of_bias) {
  for (Size c = first; c < last; c++) total[c] = off_total[c] = 0;
  for (Size n = 0; n < N; n++)
    for (Size c = first; c < last; c++) {
      Size at = n * C + c;
      even[at] = of_means[at] / P, share[at] = of_tops ? of_tops[at] / count[at] : 0;
      if (!mean) continue;
      total[c] += (double)g[at] * sums[at] + of_means[at] + (of_tops ? of_tops[at] : 0);
      off_total[c] += (double)g[at] * products[at] + of_means[at] * (means[at] - mean[c]) +
                      (of_tops ? (double)share[at] * tops[at] : 0);
    }
  for (Size c = first; c < last; c++) {
    double each = 1.0 / N / P, width = mean ? inverse[c] : 0; /* no infinity times 0 below */
    taken[c] = of_batch ? (float)(total[c] * each) : 0;
    off_taken[c] = of_batch ? (float)(off_total[c] * each * width * width) : 0;
    of_weight[c] = (float)(off_total[c] * width), of_bias[c] = (float)total[c];
  }
}

/* The maximum of x in each channel of each image, from the extremes of u; P is of no use. */
void tops(Size first, Size last, Size C, Size P, In a, In b, In high, In low, Out top) {
  (void)P;
  IMAGES for (Size c = 0; c < C; c++) {
    Size at = n * C + c;
    top[at] = FMA(a[c] >= 0 ? high[at] : low[at], a[c], b[c]);
  }
}

/* Of each place: the mean and the maximum of z over the channels. */
void place_pools(Size first, Size last, Size C, Size P, In u, In a, In b, In g, Out means,
                 Out highest) {
#define Z float z = FMA(row[k], a[CHANNEL], b[CHANNEL]) * gate[CHANNEL];
#define BODY Z SUM(0) += z; TOP = LARGER(z, TOP);
#define STORE(s0, s1, s2, s3, most) means[at] = (float)((s0) / C), highest[at] = most;
  IMAGES {
    const float *gate = g + n * C;
    PER_PLACE(1, ROW_OF_U, BODY, STORE)
  }
#undef BODY
#undef STORE
}

/* y = z, times a gate s per place if there is one; y may be u itself. */
void gated(Size first, Size last, Size C, Size P, const float *u, In a, In b, In g, In s, float *y) {
  IMAGES EACH_ROW {
    ROW_OF_U
    const float *gate = g + n * C;
    float *to = ROW(y);
    if (s) {
      const float *sn = s + n * P;
      EACH for (Size k = 0; k < COLUMNS; k++) { Z to[k] = z * sn[PLACE]; }
    } else
      EACH for (Size k = 0; k < COLUMNS; k++) { Z to[k] = z; }
  }
}

/* Of each place: the sum of d z, and how many channels have the maximum. */
void place_sums(Size first, Size last, Size C, Size P, In u, In d, In a, In b, In g, In highest,
                Out sums, Out count) {
#define BODY Z SUM(0) += grad[k] * z; SUM(1) += z == high[PLACE] ? 1.0f : 0.0f;
#define STORE(s0, s1, s2, s3, most) sums[at] = (float)(s0), count[at] = (float)(s1);
  IMAGES {
    const float *gate = g + n * C, *high = highest + n * P;
    PER_PLACE(2, ROWS_OF_U_AND_D, BODY, STORE)
  }
#undef BODY
#undef STORE
}

/* The gradient for z at a place: d, or d s + even + [z = highest] share. */
#define X float x = FMA(row[k], a[CHANNEL], b[CHANNEL]);
#define OF_Z                                                                  \
  float part = share_n[PLACE], of_z = grad[k] * sn[PLACE] + even_n[PLACE];    \
  of_z += x * gate[CHANNEL] == high[PLACE] ? part : 0.0f;
#define OF_PLACES                                         \
  const float *gate = g + n * C, *sn = s + n * P, *even_n = even + n * P; \
  const float *high = highest + n * P, *share_n = share + n * P;

/* Of each channel: sums of the gradient for z, of it times u - mean, and, with gates of places, the
   number of the maxima of x and the sum of u - mean there. */
void channel_sums(Size first, Size last, Size C, Size P, In u, In d, In a, In b, In mean, In g,
                  In s, In even, In highest, In share, In top_of_x, Out sums, Out products,
                  Out count, Out tops) {
  IMAGES {
    if (!s) {
#if LAST
#define BODY SUM(0) += grad[k]; SUM(1) += grad[k] * (row[k] - mean[CHANNEL]);
#define STORE(s0, s1, s2, s3, most) sums[at] = (float)(s0), products[at] = (float)(s1);
      PER_CHANNEL(2, ROWS_OF_U_AND_D, BODY, STORE)
#undef BODY
#undef STORE
#else
      EACH_ROW {
        ROWS_OF_U_AND_D
        double sum = 0, product = 0;
        Size k = 0;
        while (P - k >= WIDE) {
          V of_x = {0}, of_off = {0};
          for (Size end = SMALLER(P, k + WIDE * STRETCH); k + WIDE <= end; k += WIDE) {
            V dx = at_place(grad + k);
            of_x += dx, of_off += dx * (at_place(row + k) - mean[r]);
          }
          if (P - k < WIDE && k < P) {
            V dx = at_place(grad + P - WIDE), off = at_place(row + P - WIDE) - mean[r];
            of_x += last_of(dx, P - k), of_off += last_of(dx * off, P - k), k = P;
          }
          sum += sum_of(of_x), product += sum_of(of_off);
        }
        for (; k < P; k++) sum += grad[k], product += grad[k] * (row[k] - mean[r]);
        sums[n * C + r] = (float)sum, products[n * C + r] = (float)product;
      }
#endif
      continue;
    }
    OF_PLACES
    const float *peak = top_of_x + n * C;
#define BODY                                                     \
  X OF_Z float off = row[k] - mean[CHANNEL];                     \
  SUM(0) += of_z;                                                \
  SUM(1) += of_z * off;                                          \
  float is_top = x == peak[CHANNEL] ? 1.0f : 0.0f;               \
  SUM(2) += is_top;                                              \
  SUM(3) += is_top * off;
#define STORE(s0, s1, s2, s3, most)                              \
  sums[at] = (float)(s0), products[at] = (float)(s1);            \
  count[at] = (float)(s2), tops[at] = (float)(s3);
    PER_CHANNEL(4, ROWS_OF_U_AND_D, BODY, STORE)
#undef BODY
#undef STORE
  }
}

/* The gradient for u: a (dx - first_ - (u - mean) second), with
   dx = g of_z + even_c + [x = top] share_c. */
void map_gradient(Size first, Size last, Size C, Size P, In u, In d, In a, In b, In mean, In g,
                  In s, In even, In highest, In share, In top_of_x, In even_c, In share_c,
                  In first_, In second, Out du) {
  IMAGES {
    const float *gate = g + n * C, *even_cn = even_c + n * C, *share_cn = share_c + n * C;
    const float *peak = top_of_x + n * C;
#define FROM(dx)                                                                     \
  to[k] = ((dx) - first_[CHANNEL] - (row[k] - mean[CHANNEL]) * second[CHANNEL]) * a[CHANNEL];
    if (!s) {
      EACH_ROW {
        ROWS_OF_U_AND_D
        float *to = ROW(du);
        EACH for (Size k = 0; k < COLUMNS; k++) FROM(grad[k] * gate[CHANNEL] + even_cn[CHANNEL])
      }
      continue;
    }
    const float *sn = s + n * P, *even_n = even + n * P;
    const float *high = highest + n * P, *share_n = share + n * P;
    EACH_ROW {
      ROWS_OF_U_AND_D
      float *to = ROW(du);
      EACH for (Size k = 0; k < COLUMNS; k++) {
        X OF_Z float most = share_cn[CHANNEL];
        FROM(of_z * gate[CHANNEL] + even_cn[CHANNEL] + (x == peak[CHANNEL] ? most : 0.0f))
      }
    }
  }
}

/* What lies under each tap of a kernel w (J, K, K) on planes (J, N, H, W): in each row columns from
   `from` to `to`, at `place` of d or y, at `other` of the planes. */
#define TAPS(BEFORE, BODY, AFTER)                                                          \
  for (Size n = first; n < last; n++)                                                      \
    for (Size j = 0; j < J; j++)                                                           \
      for (Size t = 0; t < K * K; t++) {                                                   \
        Size down = t / K - K / 2, right = t % K - K / 2;                                  \
        Size from = LARGER(0, -right), to = SMALLER(W, W - right), tap = j * K * K + t;    \
        BEFORE                                                                             \
        for (Size r = LARGER(0, -down); r < SMALLER(H, H - down); r++) {                   \
          Size place = (n * H + r) * W, other = ((j * N + n) * H + r + down) * W + right;  \
          BODY                                                                             \
        }                                                                                  \
        AFTER                                                                              \
      }

/* Numbers of a plane with what lies around it. */
#define AROUND ((H + K - 1) * (W + K - 1))

/* y of planes with zeros around, behind the last of which WIDE more numbers can be read. */
void convolve(Size first, Size last, Size N, Size J, Size H, Size W, Size K, In wide, In w, Out y) {
  IMAGES
    for (Size r = 0; r < H; r++)
      for (Size start = 0; start < W; start += WIDE) {
        In tap = w;
        V sum = {0};
        for (Size j = 0; j < J; j++) {
          In under = wide + (j * N + n) * AROUND + r * (W + K - 1) + start;
          for (Size down = 0; down < K; down++, under += W + K - 1)
            for (Size right = 0; right < K; right++) sum += *tap++ * at_place(under + right);
        }
        for (Size i = 0; i < SMALLER(WIDE, W - start); i++) y[(n * H + r) * W + start + i] = sum[i];
      }
}

/* The gradients for planes, which begins at zero, and of each image for the kernel. */
void of_convolve(Size first, Size last, Size N, Size J, Size H, Size W, Size K, In planes, In w,
                 In d, Out of_planes, Out of_kernel) {
  TAPS(float weight = w[tap];,
       EACH for (Size k = from; k < to; k++) of_planes[other + k] += weight * d[place + k];, )
  TAPS(float sum[LANES] = {0};,
       for (Size start = from; start < to; start += LANES)
         EACH for (Size i = 0; i < SMALLER(LANES, to - start); i++)
           sum[i] += planes[other + start + i] * d[place + start + i];,
       of_kernel[n * J * K * K + tap] = total_of(sum);)
}

/* 1 / (1 + exp(-x)): exp by 2^k times a polynomial (that of Cephes' expf), since the library's isn't
   called in vectors. Added to 1.5 2^23, k is rounded and stands in the last bits. */
static void sigmoids(Size count, float *restrict x, float scale, float offset) {
  union { float value; unsigned bits; } base = {12582912.0f};
  EACH for (Size i = 0; i < count; i++) {
    float to = -x[i]; /* what is no number stays it */
    to = to < -87.0f ? -87.0f : to;
    to = to > 89.0f ? 89.0f : to; /* whose power is infinity */
    union { float value; unsigned bits; } k = {to * 1.44269504f + base.value}, two;
    float whole = k.value - base.value;
    float r = (to - whole * 0.693359375f) + whole * 2.12194440e-4f, p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f, p = p * r + 8.3334519073e-3f, p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f, p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1;
    two.bits = (k.bits - base.bits + 127) << 23;
    x[i] = scale / (1 + p * two.value) + offset;
  }
}

/* The products of a row with x and y, several sums at a time: one would wait for itself. */
static inline void products_of(In row, In x, In y, Size count, float *of_x, float *of_y) {
  V sum[4] = {{0}};
  Size i = 0;
  for (; i + 2 * WIDE <= count; i += 2 * WIDE)
    for (int j = 0; j < 2; j++) {
      V w = at_place(row + i + j * WIDE);
      sum[j] += w * at_place(x + i + j * WIDE), sum[2 + j] += w * at_place(y + i + j * WIDE);
    }
  float with_x = sum_of(sum[0] + sum[1]), with_y = sum_of(sum[2] + sum[3]);
  for (; i < count; i++) with_x += row[i] * x[i], with_y += row[i] * y[i];
  *of_x = with_x, *of_y = with_y;
}

/* Four sums over the lanes in one: what of two is added changes places meanwhile. */
static inline void sums_of_four(const V *x, float *to) {
  const M lane = {LANE}, odd = -(lane & 1), second = -((lane >> 1) & 1);
#define EITHER(from, p, q) (V)(((M)(p) & ~(from)) | ((M)(q) & (from)))
  V near[2];
  for (int j = 0; j < 2; j++) {
    V p = x[2 * j], q = x[2 * j + 1], other = EITHER(odd, q, p);
    near[j] = EITHER(odd, p, q) + swapped(other, 1);
  }
  V other = EITHER(second, near[1], near[0]), all = EITHER(second, near[0], near[1]);
  all += swapped(other, 2);
  if (WIDE > 4) all += swapped(all, 4 % WIDE);
  if (WIDE > 8) all += swapped(all, 8 % WIDE);
  for (int j = 0; j < 4; j++) to[j] = all[j];
}

/* The products of rows with x. */
static void products(In rows, In x, Size count, Size width, Out to) {
  Size r = 0, whole = width / WIDE * WIDE;
  for (; r + 4 <= count; r += 4) {
    V sum[4] = {{0}};
    for (Size i = 0; i < whole; i += WIDE)
      for (int j = 0; j < 4; j++) sum[j] += at_place(rows + (r + j) * width + i) * at_place(x + i);
    sums_of_four(sum, to + r);
    for (Size i = whole; i < width; i++)
      for (int j = 0; j < 4; j++) to[r + j] += rows[(r + j) * width + i] * x[i];
  }
  for (; r < count; r++) {
    to[r] = 0;
    for (Size i = 0; i < width; i++) to[r] += rows[r * width + i] * x[i];
  }
}

/* The gate of an image from the means of its channels, or from means and maxima: two layers, a ReLU
   between them. Kept are the hidden units; of two inputs, their sum. */
static void perceptron(Size C, Size R, In mean, const float *most, In w1, In b1, In w2, In b2,
                       Out hidden, Out gate, double scale, double offset) {
  for (Size r = 0; most && r < R; r++) {
    float bias = b1 ? b1[r] : 0, of_mean, of_top;
    products_of(w1 + r * C, mean, most, C, &of_mean, &of_top);
    of_mean += bias, of_top += bias;
    hidden[r] = (of_mean < 0 ? 0 : of_mean) + (of_top < 0 ? 0 : of_top);
  }
  if (!most) products(w1, mean, R, C, hidden);
  for (Size r = 0; !most && r < R; r++) {
    float unit = hidden[r] + (b1 ? b1[r] : 0);
    hidden[r] = unit < 0 ? 0 : unit;
  }
  products(w2, hidden, C, R, gate);
  for (Size c = 0; b2 && c < C; c++) gate[c] += (most ? 2 : 1) * b2[c];
  sigmoids(C, gate, (float)scale, (float)offset);
}

/* The sum of rows, each times its factor; several at a time. */
static void sum_of_rows(Size count, Size width, In factors, In rows, Out sum) {
  for (Size k = 0; k < width; k++) sum[k] = 0;
  Size r = 0;
  for (; r + 8 <= count; r += 8) {
    const float *row = rows + r * width, *f = factors + r;
    EACH for (Size k = 0; k < width; k++) {
      float more = 0;
      for (int j = 0; j < 8; j++) more += f[j] * row[j * width + k];
      sum[k] += more;
    }
  }
  for (; r < count; r++)
    EACH for (Size k = 0; k < width; k++) sum[k] += factors[r] * rows[r * width + k];
}

/* SE, an image after the other, while it is in the caches. */
void se(Size first, Size last, Size N, Size C, Size P, Size R, In u, In ones, In zeros, In w1, In b1,
        In w2, In b2, double scale, double offset, double *restrict means, Out mean, Out hidden,
        Out sigmoid, Out gate, Out y) {
  (void)N;
  IMAGES {
    Size at = n * C;
    moments(n, n + 1, C, P, u, means, NULL, NULL);
    for (Size c = 0; c < C; c++) mean[at + c] = (float)means[at + c];
    perceptron(C, R, mean + at, NULL, w1, b1, w2, b2, hidden + n * R, sigmoid + at, 1, 0);
    for (Size c = 0; c < C; c++)
      gate[at + c] = (float)scale * sigmoid[at + c] + (float)offset;
    gated(n, n + 1, C, P, u, ones, zeros, gate, NULL, y);
  }
}

/* The gradients for u of an SE that reads u, for its logits and for its hidden units. */
void of_se(Size first, Size last, Size N, Size C, Size P, Size R, In u, In d, In ones, In zeros,
           In w1, In w2, double scale, double offset, In hidden, In sigmoid, Out gate, Out sums,
           Out of_logits, Out of_hidden, Out even, Out du) {
  (void)N;
  IMAGES {
    In s = sigmoid + n * C;
    Out logit = of_logits + n * C, unit = of_hidden + n * R, each = even + n * C;
    for (Size c = 0; c < C; c++) gate[n * C + c] = (float)scale * s[c] + (float)offset;
    channel_sums(n, n + 1, C, P, u, d, ones, zeros, zeros, gate, NULL, NULL, NULL, NULL, NULL, sums,
                 of_logits, NULL, NULL);
    for (Size c = 0; c < C; c++) logit[c] *= (float)scale * s[c] * (1 - s[c]);
    sum_of_rows(C, R, logit, w2, unit);
    for (Size r = 0; r < R; r++) unit[r] = hidden[n * R + r] <= 0 ? 0 : unit[r];
    sum_of_rows(R, C, unit, w1, each);
    for (Size c = 0; c < C; c++) each[c] /= P;
    if (du) /* where u counts for nothing */
      map_gradient(n, n + 1, C, P, d, d, ones, zeros, zeros, gate, NULL, NULL, NULL, NULL, ones,
                   even, even, zeros, zeros, du);
  }
}

/* CBAM where nothing is learnt: an image after the other, while it is in the caches. The norm of
   the places is slope y + shift; room is for 4 C + R + 3 P numbers an image, wide for two planes of
   each with zeros around and WIDE more. */
void cbam(Size first, Size last, Size N, Size C, Size H, Size W, Size R, Size K, const float *u,
          In a, In b, In w1, In b1, In w2, In b2, In kernel, double slope, double shift,
          double scale, double offset, double scale_of_places, double offset_of_places,
          double *restrict means, float *restrict room, float *restrict wide, float *y) {
  Size P = H * W;
  float *high = room, *low = high + N * C, *top = low + N * C, *g = top + N * C, *h = g + N * C;
  float *planes = h + N * R, *s = planes + 2 * N * P;
  int falls = 0; /* somewhere x with u, where a is negative */
  for (Size c = 0; c < C; c++) falls |= !(a[c] >= 0);
  IMAGES {
    moments(n, n + 1, C, P, u, means, high, falls ? low : NULL);
    tops(n, n + 1, C, P, a, b, high, falls ? low : high, top);
    float *mean = high + n * C, *most = top + n * C, *hidden = h + n * R, *gate = g + n * C;
    float *place = s + n * P;
    for (Size c = 0; c < C; c++) mean[c] = (float)(means[n * C + c] * a[c] + b[c]);
    perceptron(C, R, mean, most, w1, b1, w2, b2, hidden, gate, scale, offset);
    place_pools(n, n + 1, C, P, u, a, b, g, planes, planes + N * P);
    for (Size j = 0; j < 2; j++)
      for (Size r = 0; r < H; r++) {
        float *to = wide + (j * N + n) * AROUND + (r + K / 2) * (W + K - 1) + K / 2;
        for (Size k = 0; k < W; k++) to[k] = planes[(j * N + n) * P + r * W + k];
      }
    convolve(n, n + 1, N, 2, H, W, K, wide, kernel, s);
    for (Size k = 0; k < P; k++) place[k] = (float)(place[k] * slope + shift);
    sigmoids(P, place, (float)scale_of_places, (float)offset_of_places);
    gated(n, n + 1, C, P, u, a, b, g, s, y);
  }
}
