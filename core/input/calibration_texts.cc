#include "core/input/calibration_texts.h"

#include <array>

namespace attnd {
namespace {

constexpr std::array<std::string_view, 40> kTexts = {
    "The committee approved the budget after a short discussion.",
    "What time does the last train to the airport leave?",
    "She planted tomatoes, beans and a row of sunflowers behind the house.",
    "Interest rates rose again, and mortgage applications fell to their lowest level in a "
    "decade.",
    "How can I cancel a subscription and get my money back?",
    "A young boy in a red jacket is running along the beach with his dog.",
    "The enzyme breaks down proteins into smaller peptides in the small intestine.",
    "Error: connection refused while connecting to the database on port 5432.",
    "def mean(values): return sum(values) / len(values) if values else 0.0",
    "SELECT name, COUNT(*) FROM orders WHERE total > 100 GROUP BY name ORDER BY 2 DESC;",
    "The defendant shall pay the amount within thirty days of receiving this notice.",
    "Photosynthesis turns carbon dioxide and water into sugar and oxygen by means of light.",
    "best noise cancelling headphones under 200",
    "The film is two hours of beautiful pictures and no story at all.",
    "I love this product!! It works exactly as described, and delivery took one day.",
    "Worst customer service ever. I waited 45 minutes and nobody helped me.",
    "In 1969 two astronauts walked on the Moon while a third stayed in orbit.",
    "The recipe needs 250 g of flour, 3 eggs, a pinch of salt and half a litre of milk.",
    "Quantum computers use superposition and entanglement to solve certain problems faster.",
    "Our hotel room was clean, quiet and only five minutes from the old town.",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "La bibliothèque est fermée le dimanche et les jours fériés.",
    "El gobierno anunció nuevas medidas para reducir la contaminación del aire.",
    "Il treno per Milano parte dal binario quattro alle nove e mezza.",
    "今天的天气非常好，我们去公园散步吧。",
    "東京は日本の首都であり、世界最大の都市圏の一つである。",
    "Сегодня утром в городе прошёл сильный дождь.",
    "القاهرة هي عاصمة جمهورية مصر العربية.",
    "https://www.example.com/products/item?id=12345&color=blue#reviews",
    "Call +1 (555) 010-9999 or write to support@example.com before 6 p.m.",
    "yes",
    "Thank you.",
    "machine learning",
    "password reset",
    "Who wrote The Old Man and the Sea?",
    "why is the sky blue",
    "The patient, a 54-year-old man, presented with chest pain, shortness of breath and a mild "
    "fever that had begun three days earlier; an electrocardiogram showed no abnormality.",
    "Version 2.4.1 fixes a crash when the window is resized, adds a dark theme, and drops "
    "support for 32-bit systems.",
    "To be, or not to be, that is the question: whether it is nobler in the mind to suffer the "
    "slings and arrows of fortune, or to take arms against a sea of troubles.",
    "The river rises in the mountains, crosses the plain from west to east, passes through "
    "four countries, and after more than two thousand kilometres flows into the sea through a "
    "wide delta, where millions of birds spend the winter. Dams built in the last century "
    "supply electricity to the cities along its banks, but they also hold back the sand and "
    "mud that once fed the delta, so that the coast is slowly being lost. Farmers, fishermen "
    "and engineers have argued for years about what should be done, and the government has now "
    "asked a commission to report before the end of the year.",
};

}  // namespace

std::span<const std::string_view> BuiltInCalibrationTexts() { return kTexts; }

}  // namespace attnd
