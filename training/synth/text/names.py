# ruff: noqa: E501, SIM905  (word lists read better as text)
"""Invented names of people, companies and places of many origins. The splits have no name in common.

Any likeness is chance: first names and surnames are combined at random, and companies and towns are built from syllables.
"""

from functools import lru_cache
from random import Random
from zlib import crc32

from training.data.record import Split

FIRST_NAMES = """Aaron Abby Abdul Ada Adela Adrian Agnes Aiko Aisha Alan Alba Alejandra Alex Alice Alina Alison Amara Amelia Amir Amy Ana
Anders Andre Andrea Angela Anika Anita Anna Anton Anya Arjun Arlo Arthur Astrid Audrey Barbara Bart Beatriz Becky Ben Bernard Beth
Bianca Bilal Bjorn Bogdan Bonnie Brenda Brian Bruno Callum Camila Carl Carla Carlos Carmen Caroline Cathy Cecilia Chen Chidi Chloe
Chris Claire Clara Colin Connie Craig Cyrus Dalia Damian Dana Danielle Darius Dave David Deborah Declan Deepa Denise Derek Diana
Diego Dina Dmitri Dominic Donna Doris Dora Doug Edgar Edith Eduardo Eileen Elena Elias Elif Ella Ellen Elsa Emeka Emil Emre Enzo Eric
Erin Esther Ethan Eva Evan Fatima Faye Felix Fiona Florence Francis Frank Freya Gareth Gavin George Georgia Gina Gita Glen Gloria
Goran Grace Graham Greta Gustavo Gwen Habib Hana Hannah Harold Harriet Hassan Hector Heidi Helen Henry Hilda Hugo Ian Ibrahim Ida
Igor Imani Imran Ines Ingrid Irene Iris Isaac Isabel Ivan Ivy Jack Jackie Jacob Jake Jamal James Jan Janet Jared Jasmine Jason Javier
Jay Jean Jenna Jenny Jerome Jess Jill Jin Joan Joe Joel John Jonas Jordan Jorge Josh Joyce Juan Judith Julia Julian June Kai Kamal
Karen Karim Karl Kate Kavya Keiko Keith Kelly Ken Kenji Kevin Khalid Kim Kirsten Kofi Kurt Kwame Kyle Lara Lars Laura Lauren Laurence
Leah Lena Leo Leon Leonie Leslie Lewis Liam Lidia Lily Linda Lionel Lisa Liz Lola Lorna Louis Lucas Lucia Lucy Luis Luke Lydia Maeve
Magda Malcolm Malik Mandy Manuel Marco Marcus Maria Marian Marie Mario Marta Martha Martin Mateo Matt Maya Mei Mel Mercy Mia Michael
Miguel Mila Milan Milo Mina Miriam Mohammed Moira Molly Mona Monica Morgan Musa Nadia Nancy Naomi Natalie Nate Neema Neil Nell Nia Nick
Nico Nigel Nikhil Nina Noah Noor Nora Norman Odette Olga Olive Oliver Omar Oscar Otto Owen Pablo Paige Pam Patrick Paul Paula Pedro
Peggy Penny Petra Phil Phoebe Pia Pierre Polly Priya Quentin Rachel Rafael Raj Ralph Ramona Rashid Raul Ravi Ray Rebecca Regina Rehana
Rhoda Ricardo Rita Rob Robin Rohan Roland Rosa Rosie Roy Ruben Rupert Ruth Ryan Sabine Sadia Sally Sam Samir Sandra Sanjay Sara Scott
Sean Selma Serena Shane Sharon Sheila Shirin Simon Sofia Sonia Stan Stella Stephen Steve Stuart Sue Sunil Suki Susan Sven Sylvia Tania
Tara Tariq Tasha Ted Teresa Tessa Theo Thomas Tim Tina Tobias Toby Todd Tom Tomas Tony Tracy Trevor Trish Tunde Uma Ursula Val Vanessa
Vera Victor Vijay Viktor Vince Viola Violet Wade Walter Wanda Warren Wendy Wes Will Willa Winston Xavier Yara Yasmin Yolanda Yuki Yusuf
Yvonne Zack Zahra Zara Zelda Zoe""".split()
SURNAMES = """Abbott Adeyemi Ahmed Albrecht Ali Alvarez Andersen Archer Arnold Ashworth Atkins Baker Banerjee Barnes Barros Bauer Becker Bell
Bennett Berg Bianchi Bishop Blackwood Bose Boyd Bradley Brandt Brennan Briggs Brooks Bryant Burke Caldwell Campbell Carver Castillo
Chandra Chang Chapman Chavez Chowdhury Christie Clarke Coleman Conrad Cooper Correa Cortez Costa Crawford Cruz Cunningham Dalton Das
Dawson Delgado Desai Diaz Dixon Dobson Doyle Drummond Dubois Duffy Duncan Eklund Elliott Engel Espinoza Evans Farrell Fernandes Ferrari
Fischer Fitzgerald Fleming Flores Forsyth Foster Fowler Franklin Fraser Friedman Fujita Gallagher Garcia Gardner Gibbs Goldberg Gomez
Gonzalez Gordon Grant Greenwood Griffin Gupta Guthrie Haas Hale Hall Hamid Hansen Harding Harper Hartley Hashimoto Hassan Hayes Henderson
Hernandez Hill Hirsch Holland Holmes Horvath Howell Huang Hughes Hussain Ibarra Ivanov Jackson Jacobs Jansen Jenkins Jensen Johansson
Jones Joshi Kapoor Kaur Keller Kennedy Khan Kim King Klein Knight Koch Kovacs Kowalski Kumar Lambert Larsen Lawson Lee Lehmann Lindqvist
Lopez Lund Lynch MacDonald Mackay Malik Marino Marsh Mason Mbeki McBride McCarthy McKenna Medina Mehta Mendes Mensah Meyer Miller Mitchell
Molina Moreau Moreno Morgan Moss Mueller Murphy Nakamura Nash Navarro Nelson Newman Nguyen Nielsen Novak Nwosu O'Brien O'Connor Obi Okafor
Okoye Olsen Ortega Osborne Owens Palmer Papadakis Park Parker Parsons Patel Pereira Perez Perry Petersen Petrov Phillips Popov Porter Powell
Price Quinn Rahman Ramirez Ramos Rao Reed Reid Reyes Rhodes Ricci Richter Rivera Roberts Robson Rojas Romano Rossi Rowe Russo Ryan Salazar
Sanders Santos Sato Schmidt Schneider Schwartz Shah Sharma Shaw Silva Simmons Singh Slater Sloan Sokolov Stark Stein Stevens Stone Sutton
Suzuki Swift Takahashi Tanaka Tate Taylor Thompson Thorne Torres Tran Tucker Turner Usman Valdez Vance Vargas Varga Vaughn Vega Velasco
Wagner Walker Wallace Walsh Warner Watson Weaver Webb Weber Wells Whitaker Wilde Williams Winter Wolf Wong Woods Wright Yamamoto Yang Yates
Yilmaz Young Zhang Ziegler Zimmerman""".split()
_ONSET = ("Al Am Ash Bar Bel Ben Bre Bri Brook Cal Cam Car Cedar Clar Cor Cross Dal Den Dor Dun East El Fair Fen Fern Glen Gran Green Hal Ham "
          "Har Hart Haw Hazel High Hol Iron Jas Ken Kings Lan Lark Lin Maple Mar Mel Mill Mor Nor North Oak Or Pem Pine Quin Red River Rose Sel "
          "Silver Stan Stone Sun Tam Thorn Tre Up Val Ver Wal Wes West Whit Win Wood Yar").split()  # fmt: skip
_TOWN = ("borough bridge brook burn bury by combe dale den field ford gate ham haven hurst leigh ley low mere mont mouth port ridge side stead "
         "stoke ton vale view ville wick well wood worth").split()  # fmt: skip
_BRAND = ("via tec nova line path lio mark ora sys berry point dex wave form ero ium light well star fold craft ix "
          "care ware land stream gen loop max net").split()  # fmt: skip
_ORG = ["", "", "", "", " Group", " Partners", " Supplies", " Services", " and Sons", " Trust", " Logistics", " Systems", " Foods", " Energy",
        " Media", " Homes", " Health", " Engineering", " Consulting", " Motors", " Textiles"]  # fmt: skip
_ROAD = ["Street", "Street", "Road", "Road", "Avenue", "Lane", "Drive", "Hill", "Square", "Park"]
# The first letters of a name decide its split; dev and test get a tenth of the names each.
_SPLIT_OF_CHECKSUM: dict[int, Split] = {0: "dev", 1: "test"}


def split_of_name(name: str) -> Split:
    """Return the only split in which the name occurs."""
    return _SPLIT_OF_CHECKSUM.get(crc32(name.encode()) % 9, "train")


@lru_cache(maxsize=8)
def first_names(split: Split) -> tuple[str, ...]:
    """Return the first names of a split."""
    return tuple(n for n in FIRST_NAMES if split_of_name(n) == split)


@lru_cache(maxsize=8)
def surnames(split: Split) -> tuple[str, ...]:
    """Return the surnames of a split. Half of them are built from syllables, so that there are unusual names too."""
    first = set(FIRST_NAMES)
    built = [
        a + b
        for a in _ONSET
        for b in ("son", "ley", "man", "well", "er", "ard", "ova", "ini", "wick", "ic")
        if len(a) > 2
    ]
    chosen = [n for n in built if crc32(n.encode()) % 4 == 0]
    return tuple(n for n in SURNAMES + chosen if n not in first and split_of_name(n) == split)


@lru_cache(maxsize=8)
def towns(split: Split) -> tuple[str, ...]:
    """Return the names of towns of a split."""
    return tuple(n for n in (a + b for a in _ONSET for b in _TOWN) if split_of_name(n) == split)


@lru_cache(maxsize=8)
def brands(split: Split) -> tuple[str, ...]:
    """Return the stems of names of companies and products of a split."""
    return tuple(n for n in (a + b for a in _ONSET for b in _BRAND) if split_of_name(n) == split)


def company_name(rng: Random, split: Split) -> str:
    """Return the name of a company: a stem, or one or two surnames."""
    kind = rng.random()
    if kind < 0.65:
        return rng.choice(brands(split)) + rng.choice(_ORG)
    if kind < 0.8:
        return f"{rng.choice(surnames(split))} and {rng.choice(surnames(split))}"
    return rng.choice(surnames(split)) + rng.choice(_ORG[5:])


def street_name(rng: Random, split: Split) -> str:
    """Return the name of a street."""
    stem = rng.choice(surnames(split)) if rng.random() < 0.4 else rng.choice(towns(split))
    return f"{stem} {rng.choice(_ROAD)}"


def product_name(rng: Random, split: Split) -> str:
    """Return the name of a product."""
    return rng.choice(brands(split))
