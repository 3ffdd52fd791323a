#pragma once

#include "client/commands/json_text.h"
#include "client/types.h"

// Parts that the lines of several commands have alike.
namespace attnd::client {

// Adds "text", "text" and "text_pair", or "ids"; nothing of embeddings.
void AddInput(const Input& input, JsonObject& object);

// [begin, end] of a token.
RawJson OffsetsJson(const Token& token);
// 1 for a special token, else 0.
int SpecialJson(const Token& token);

}  // namespace attnd::client
