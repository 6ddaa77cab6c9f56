"""What goes into the slots of the templates: words by slot, and ranges of numbers."""

from __future__ import annotations

NUMBERS: dict[str, tuple[int, int]] = {
    "n": (2, 12),
    "m": (13, 99),
    "h": (100, 999),
    "k": (1000, 9999),
    "percent": (3, 95),
    "year": (1500, 1990),
    "angle": (15, 85),
}
"""Slot -> least and greatest whole number."""

_WORDS: dict[str, str] = {
    "name": "Amara Boris Chen Dalia Emeka Farah Goran Hana Ivo Jun Kofi Lucia Mateo Nadia Omar Priya Quentin "
    "Rosa Sven Tariq Uma Viktor Wanjiru Ximena Yusuf Zofia",
    "city": "Lisbon Nairobi Osaka Lima Toronto Kraków Cairo Hanoi Dublin Santiago Tbilisi Accra Bergen Perth",
    "country": "Portugal Kenya Japan Peru Canada Poland Egypt Vietnam Ireland Chile Georgia Ghana Norway "
    "Morocco",
    "things": "apples marbles stickers pencils tickets coins eggs bricks postcards candles tulips oranges "
    "buttons chairs tiles",
    "thing": "bicycle lamp jacket kettle backpack telescope guitar desk blender tent camera blanket",
    "food": "lentil soup|rye bread|fried rice|apple pie|mushroom risotto|tacos|ramen|goulash|falafel|"
    "pancakes",
    "animal": "octopus|hedgehog|barn owl|sea turtle|wolf|honey bee|elephant|salamander|otter|crow",
    "sport": "tennis rowing football judo climbing swimming chess fencing basketball cycling",
    "job": "nurse|carpenter|journalist|baker|geologist|teacher|pilot|librarian|farmer|software engineer|"
    "accountant",
    "person": "Marie Curie|Ibn Battuta|Ada Lovelace|Simón Bolívar|Wangari Maathai|Leonardo da Vinci|"
    "Frida Kahlo|Isaac Newton|Cleopatra|Confucius|Florence Nightingale|Alan Turing",
    "event": "the French Revolution|the fall of Constantinople|the Meiji Restoration|the Black Death|"
    "the Suez Crisis|the invention of printing|the Great Depression|the Moon landing|the Taiping Rebellion",
    "science": "photosynthesis|plate tectonics|natural selection|superconductivity|vaccination|"
    "black holes|the water cycle|nuclear fusion|antibiotic resistance|ocean tides|fermentation",
    "theme": "loneliness|climate change|remote work|space travel|city parks|public libraries|friendship|"
    "artificial intelligence|fast fashion|school uniforms|night shifts|social media",
    "dilemma": "testing medicine on animals|lying to protect a friend|eating meat|reading a partner's "
    "messages|breaking a promise to save money|paying a ransom|using facial recognition in schools",
    "book": "Don Quixote|Moby-Dick|Things Fall Apart|The Metamorphosis|Pride and Prejudice|Frankenstein|"
    "The Odyssey|One Hundred Years of Solitude",
    "word": "serendipity|ephemeral|resilience|ambiguous|candid|frugal|nostalgia|pragmatic|lucid|stoic",
    "tongue": "Spanish|French|Swahili|Japanese|German|Polish|Turkish|Italian",
    "symptom": "a dry cough|sore knees|trouble falling asleep|a stiff neck|itchy eyes|frequent headaches",
    "room": "kitchen|bathroom|garage|bedroom|balcony|hallway|small office",
    "occasion": "a retirement party|a tenth birthday|a wedding anniversary|a farewell dinner|"
    "a housewarming|a school reunion",
    "subject": "physics|biology|economics|geography|music theory|chemistry|law|philosophy",
    "place": "a lighthouse|an abandoned railway station|a crowded market|a research base in Antarctica|"
    "a village bakery|the back of a taxi|a library at night",
    "style": "friendly|formal|dry and humorous|very short|persuasive|poetic|plain",
    "lang": "Python|JavaScript|Java|C++|Go|Rust|TypeScript|Ruby|C#|Kotlin",
    "script": "Bash|Python|Perl|PowerShell",
    "structure": "linked list|binary search tree|hash map|priority queue|stack|trie|ring buffer|"
    "disjoint-set forest|graph stored as adjacency lists",
    "algo": "quicksort|breadth-first search|Dijkstra's algorithm|binary search|merge sort|"
    "the sieve of Eratosthenes|topological sorting|edit distance|run-length encoding|"
    "a sliding-window maximum",
    "arrays": "an array of integers|a list of strings|a matrix of floats|a sorted list|"
    "a list of (start, end) pairs|a nested list",
    "ident": "merge_intervals|count_vowels|is_balanced|parse_header|top_k|flatten|rotate_matrix|"
    "remove_duplicates|group_by_key|word_frequency|next_palindrome|to_roman|nth_prime|sum_digits",
    "var": "total|result|items|buffer|index|user_id|config|response|rows|cache",
    "error": "IndexError: list index out of range|TypeError: 'NoneType' object is not iterable|"
    "KeyError: 'id'|NullPointerException|segmentation fault (core dumped)|"
    "undefined is not a function|RecursionError: maximum recursion depth exceeded|"
    "error[E0382]: borrow of moved value|ModuleNotFoundError: No module named 'utils'",
    "framework": "Flask|Django|React|Spring Boot|FastAPI|Express|Vue|Rails|pandas|NumPy|PyTorch",
    "table": "orders|employees|invoices|sensor_readings|customers|page_views|products",
    "column": "created_at|price|department|status|country|quantity|email",
    "tool": "git|Docker|Kubernetes|Terraform|nginx|make|pytest|webpack|GitHub Actions|gdb",
    "format": "JSON|CSV|YAML|XML|INI|Markdown",
    "shape": "circle|sphere|cube|regular hexagon|square|equilateral triangle",
    "function": "x^3 - 4x|sin(2x)|e^x cos(x)|ln(x^2 + 1)|x / (x + 1)|sqrt(3x - 2)|x^2 e^{-x}|tan(x)",
    "polynomial": "x^2 - 5x + 6|2x^2 + 7x - 15|x^3 - 2x^2 - x + 2|x^4 - 16|3x^2 - 12x + 9|x^2 + 4x + 1",
    "unit": "metres|kilometres|litres|kilograms|hours|dollars",
    "letter": "a b c m p q r t",
}  # fmt: skip

WORDS: dict[str, tuple[str, ...]] = {
    slot: tuple(text.split("|") if "|" in text else text.split()) for slot, text in _WORDS.items()
}
"""Slot -> the words it is filled from."""
