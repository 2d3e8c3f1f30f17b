// Loads an archive without Python, calls `forward` on 12 fixed numbers, prints every output number.
#include <torch/script.h>

#include <cstdio>

int main(int, char** argv) {
  torch::jit::Module module = torch::jit::load(argv[1]);
  at::Tensor x = at::arange(12, at::kFloat).reshape({3, 4}) / 7;
  at::Tensor y = module.forward({x}).toTensor().contiguous();
  for (int64_t k = 0; k < y.numel(); ++k) std::printf("%a\n", y.data_ptr<float>()[k]);
}
