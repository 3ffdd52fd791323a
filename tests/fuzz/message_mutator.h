#pragma once

#include <random>

#include "google/protobuf/message.h"

namespace attnd {

// Changes a message at one or a few of its fields, at any depth: numbers become those at limits,
// enums leave their range, texts and bytes are mutated, repeated fields grow and shrink, fields are
// set and cleared. Tensors often get as many bytes as their shape says, or they would hardly ever.
void MutateMessage(google::protobuf::Message& message, std::minstd_rand& random);

}  // namespace attnd
